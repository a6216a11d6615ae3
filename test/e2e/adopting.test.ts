import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import knex from 'knex';
import { Umzug, memoryStorage } from 'umzug';
import { describe, expect, it, onTestFinished } from 'vitest';
import { withDatabase } from '../support/database.ts';
import { runInProcess } from '../support/in-process.ts';
import { makeProject } from '../support/project.ts';

/** What the guide for adopting shows and says is done as it stands. */

const guide = readFileSync(path.join(import.meta.dirname, '../../docs/adopting.md'), 'utf8');
const files = Object.fromEntries(
  [...guide.matchAll(/```(?:js|ts)\n\/\/ (\S+)\n([^]*?)```/g)].map(([, name = '', text = '']) => [
    name,
    text,
  ]),
);

/** knex as its own command line would be, on the folder `migrations` of a project. */
function knexOf(dir: string, url: string): ReturnType<typeof knex> {
  const log = { warn: () => undefined, error: () => undefined };
  const migrations = { directory: path.join(dir, 'migrations') };
  const db = knex({ client: 'pg', connection: url, migrations, log });
  onTestFinished(() => db.destroy());
  return db;
}

const ofKnex = `
  exports.up = (knex) => knex.schema.createTable('people', (t) => { t.increments(); t.text('name'); })
    .then(() => knex('people').insert([{ name: null }, { name: null }]));
  exports.down = (knex) => knex.schema.dropTable('people');`;

it('knex and umzug-cluster work side by side, and one takes over from the other', async () => {
  await withDatabase(async ({ url, client }) => {
    const { dir } = makeProject({ '20261130000000_people_name.js': ofKnex });
    mkdirSync(path.join(dir, 'data-migrations'));
    for (const [name, text] of Object.entries(files)) writeFileSync(path.join(dir, name), text);
    const place = [dir, { DATABASE_URL: url }] as const;
    const early = await runInProcess(['up'], ...place);
    expect(early.code).toBe(3);
    expect(early.stderr).toMatch(/requires knex:20261130000000_people_name[^]*npx knex migrate:latest/);
    const db = knexOf(dir, url);
    await db.migrate.latest();
    expect((await runInProcess(['up'], ...place)).code).toBe(0);
    const names = [{ name: 'Person 1' }, { name: 'Person 2' }];
    expect((await client.query('select name from people order by id')).rows).toEqual(names);
    expect(await db.migrate.latest()).toEqual([expect.any(Number), []]);
    const knexFolder = ['--migrations', 'migrations'];
    const byVariable = { DATABASE_URL: url, UMZUG_CLUSTER_MIGRATIONS: 'migrations' };
    expect((await runInProcess(['up'], dir, byVariable)).code).toBe(3);
    expect((await runInProcess(['up', ...knexFolder], ...place)).code).toBe(3);
    const taken = await runInProcess(['baseline', '--from', 'knex', ...knexFolder], ...place);
    expect(taken).toMatchObject({ code: 0, stdout: '20261130000000_people_name: marked as executed\n' });
    for (const folder of [[], knexFolder]) {
      expect(await runInProcess(['up', '--strict', ...folder], ...place)).toMatchObject({
        code: 0,
        stdout: 'nothing is pending\n',
      });
    }
    expect(Object.keys(files)).toHaveLength(2);
  });
});

describe('the guide says what another tool does', () => {
  const data = `exports.select = (db) => db('people'); exports.update = () => 1;`;
  const schema = `exports.up = (db) => db.schema.createTable('t', (t) => t.increments());`;
  const umzugOn = (dir: string): Promise<unknown> => {
    const glob: [string, { cwd: string }] = ['migrations/*.js', { cwd: dir }];
    return new Umzug({
      migrations: { glob },
      context: {},
      storage: memoryStorage(),
      logger: undefined,
    }).up();
  };

  it.each([
    ['data', data, 'up is not a function'],
    ['schema', schema, undefined],
  ])('with a %s migration: knex and umzug refuse it', async (_kind, source, words) => {
    await withDatabase(async ({ url, client }) => {
      const { dir } = makeProject({ '1-a.js': source });
      await expect(knexOf(dir, url).migrate.latest()).rejects.toThrow(
        'must have both an up and down function',
      );
      await expect(umzugOn(dir)).rejects.toThrow(words);
      if (words !== undefined) expect(guide).toContain(words);
      const made = `select from pg_tables where schemaname = 'public' and tablename in ('t', 'people')`;
      expect((await client.query(made)).rowCount).toBe(0);
    });
    expect(guide).toContain('must have both an up and down function');
  });
});
