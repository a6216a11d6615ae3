import { expect, it } from 'vitest';
import { start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { hurry, makeProject } from '../support/project.ts';

const migration = `
  import { existsSync as isThere } from 'node:fs';
  export const select = (db) => db('t').select('id').whereNull('by');
  export const update = async (db, rows) => {
    if (!isThere('enough')) await db.raw('select pg_sleep(0.2)');
    await db('t').whereIn('id', rows.map(({ id }) => id)).update({ by: process.pid });
  };`;

// What cannot be sent to another process: each worker has to read it from the knexfile, as the primary did.
const connection = `{
  host: process.env.APP_HOST, port: Number(process.env.APP_PORT), user: process.env.APP_USER,
  database: process.env.APP_DATABASE, password: async () => process.env.APP_PASSWORD }`;
const wrap = `wrapIdentifier: (name, original) => original(name)`;

it.each([
  [
    'a flat one with a password function',
    ['up'],
    `export default { client: 'pg', connection: ${connection} };`,
  ],
  [
    'a function that returns a flat one with wrapIdentifier',
    ['up'],
    `module.exports = async () => ({ connection: () => (${connection}), ${wrap} });`,
  ],
  [
    'environments, of which one is asked for',
    ['up', '--env', 'staging'],
    `export default { development: {}, staging: { client: 'pg', connection: ${connection}, ${wrap} } };`,
  ],
])('workers accept the knexfile that the primary accepted: %s', async (_shape, args, knexfile) => {
  await withDatabase(async ({ url, client }) => {
    await client.query(
      'create table t (id int primary key, by int); insert into t select generate_series(1, 8000)',
    );
    await client.query('analyze t');
    const { dir } = makeProject({ 'a.ts': migration, '../knexfile.ts': knexfile });
    const { hostname, port, username, password, pathname } = new URL(url);
    const env = {
      APP_HOST: hostname,
      APP_PORT: port,
      APP_USER: username,
      APP_PASSWORD: password,
      APP_DATABASE: pathname.slice(1),
    };
    const up = start([...args, '--workers', '2', '--chunk-size', '200'], { cwd: dir, url: null, env });
    const hosts = `select count(distinct by)::int as processes from t`;
    const ended = up.outcome.then(() => true);
    const shared = until(
      'a worker has committed',
      async () => (await client.query(hosts)).rows[0].processes > 1,
    ).then(() => true);
    await Promise.race([ended, shared]);
    hurry(dir);
    const { code, stderr } = await up.outcome;
    expect(code, stderr).toBe(0);
    expect((await client.query(hosts)).rows).toEqual([{ processes: 2 }]);
  });
});
