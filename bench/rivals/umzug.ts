// umzug's own command line, as its manual has it, with knex for the storage.
import knexFactory from 'knex';
import { Umzug } from 'umzug';

const knex = knexFactory({ client: 'pg', connection: process.env['DATABASE_URL'] as string });
const umzug = new Umzug({
  migrations: { glob: 'migrations/*.ts' },
  context: { knex },
  storage: {
    async executed() {
      await knex.raw('create table if not exists umzug_rival (name text primary key)');
      return (await knex('umzug_rival').orderBy('name')).map(({ name }: { name: string }) => name);
    },
    async logMigration({ name }) {
      await knex('umzug_rival').insert({ name });
    },
    async unlogMigration({ name }) {
      await knex('umzug_rival').where({ name }).del();
    },
  },
  logger: undefined,
});
await umzug.runAsCLI();
await knex.destroy();
