export default {
  client: 'pg',
  connection: process.env['DATABASE_URL'],
  migrations: { directory: 'migrations', loadExtensions: ['.ts'], tableName: 'knex_rival' },
};
