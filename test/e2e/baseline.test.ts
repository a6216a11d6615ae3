import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { runInProcess } from '../support/in-process.ts';
import { makeProject } from '../support/project.ts';

const data = `
  import { setBased } from 'umzug-cluster';
  export const select = (db) => db('people');
  export const update = setBased((chunk, db) => chunk.update({ n: db.raw('n + 1') }));
  export const down = { select, update: setBased((chunk, db) => chunk.update({ n: db.raw('n - 1') })) };`;
const schemaStep = `export const up = (db) => db.raw('select 1'); export const down = up;`;
const table = `create table people (id int primary key, n int not null default 0); insert into people values (1)`;

describe('baseline', () => {
  it('marks what it is told to, runs nothing, and can be taken back', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const place = { cwd: makeProject({ 'a.ts': schemaStep, 'b.ts': data, 'c.ts': data }).dir, url };
      const nothing = await run(['baseline'], place);
      expect(nothing.code).toBe(2);
      expect(nothing.stderr).toMatch(/needs --to, --name or --from/);
      expect((await run(['baseline', '--to', 'bb'], place)).stderr).toMatch(/did you mean "b"/);
      expect(await run(['baseline', '--to', 'b'], place)).toMatchObject({
        code: 0,
        stdout: 'a: marked as executed\nb: marked as executed\n',
      });
      expect(await run(['executed'], place)).toMatchObject({ stdout: 'a\nb\n' });
      expect((await client.query('select n from people')).rows).toEqual([{ n: 0 }]);
      const again = await run(['baseline', '--name', 'a', '--name', 'b', '--json'], place);
      expect(JSON.parse(again.stdout)).toEqual({ marked: [], already: ['a', 'b'], withoutFile: [] });
      expect(await run(['verify'], place)).toMatchObject({ code: 1 });
      expect(await run(['status'], place)).toMatchObject({ code: 0 });
      const down = await run(['down', '--to', 'a'], place);
      expect(down.code).toBe(2);
      expect(down.stderr).toMatch(/^error: b was marked as executed, not run[^]*baseline --undo --name b$/m);
      expect((await run(['baseline', '--undo'], place)).stderr).toMatch(/--undo needs --name/);
      expect(await run(['baseline', '--undo', '--name', 'b'], place)).toMatchObject({
        code: 0,
        stdout: 'b: pending again\n',
      });
      expect((await run(['up'], place)).code).toBe(0);
      expect((await client.query('select n from people')).rows).toEqual([{ n: 2 }]);
      const ran = await run(['baseline', '--undo', '--name', 'c'], place);
      expect(ran.code).toBe(2);
      expect(ran.stderr).toMatch(/^error: c was run, not marked as executed\n.*down --name c$/m);
    });
  });

  it('is refused for what is begun and not done; a marked migration that is run after all is one that was run', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const breaking = data.replace(
        '(chunk, db) =>',
        '(chunk, db) => process.env.BREAKS ? db.raw(`select nowhere`) :',
      );
      const place = { cwd: makeProject({ 'a.ts': schemaStep, 'b.ts': breaking }).dir, url };
      expect((await run(['up'], { ...place, env: { BREAKS: '1' } })).code).toBe(1);
      const refused = await run(['baseline', '--to', 'b'], place);
      expect(refused.code).toBe(3);
      expect(refused.stderr).toMatch(/^error: b is started but not done[^]*nothing was marked/);
      expect((await run(['down', '--name', 'b'], place)).code).toBe(0);
      expect((await run(['baseline', '--to', 'b'], place)).stdout).toBe('b: marked as executed\n');
      expect((await run(['up', '--name', 'b', '--rerun', 'ALLOW'], place)).code).toBe(0);
      expect((await client.query('select n from people')).rows).toEqual([{ n: 1 }]);
      expect((await run(['down', '--name', 'b'], place)).code).toBe(0);
      expect((await client.query('select n from people')).rows).toEqual([{ n: 0 }]);
      expect((await run(['verify'], place)).code).toBe(0);
    });
  });

  it.each([
    ['knex', 'knex_migrations', ['1-a.js', '2-b.js', '3-gone.js'], `exports.up = (knex) => knex.raw('x');`],
    [
      'sequelize',
      '"SequelizeMeta"',
      ['1-a.js', '2-b.js', '3-gone.js'],
      `module.exports = { up: async (queryInterface, Sequelize) => {}, down: async () => {} };`,
    ],
    [
      'node-pg-migrate',
      'pgmigrations',
      ['1-a', '2-b', '3-gone'],
      `exports.up = (pgm) => {}; exports.down = false;`,
    ],
    ['kysely', 'kysely_migration', ['1-a', '2-b', '3-gone'], `export async function up(db) {}`],
    ['mikroorm', 'mikro_orm_migrations', ['1-a', '2-b', '3-gone'], `module.exports.Migration1 = class {}`],
  ])('takes over what %s has executed, and only reads its table', async (tool, written, recorded, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`create table ${written} (id serial, name text)`);
      await client.query(`insert into ${written} (name) select unnest($1::text[])`, [recorded]);
      await client.query(`create function refuse() returns trigger language plpgsql as
          $$ begin raise 'written'; end $$;
        create trigger refuse before insert or update or delete or truncate on ${written}
          for each statement execute function refuse()`);
      const place = {
        cwd: makeProject({ '1-a.js': source, '2-b.js': source, '4-c.ts': schemaStep }).dir,
        url,
      };
      expect((await run(['baseline', '--from', tool, '--table', 'no.where'], place)).stderr).toMatch(
        /there is no table "no\.where", in which .* records its migrations[^]*--table SCHEMA\.TABLE/,
      );
      const { code, stdout, stderr } = await run(['baseline', '--from', tool], place);
      expect({ code, stdout }).toEqual({
        code: 0,
        stdout: '1-a: marked as executed\n2-b: marked as executed\n',
      });
      expect(stderr).toBe('recorded by the other tool, but no file here: 3-gone\n');
      expect((await run(['pending'], place)).stdout).toBe('4-c\n');
      expect((await run(['up'], place)).code).toBe(0);
    });
  });

  it('takes over what TypeORM and Prisma have executed by the names of their files', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`create table migrations (id serial, timestamp bigint, name text);
        insert into migrations (timestamp, name) values (1700000000000, 'CreateUsers1700000000000');
        create table _prisma_migrations (id text, migration_name text, finished_at timestamptz, rolled_back_at timestamptz);
        insert into _prisma_migrations values ('x', '2_done', now(), null), ('y', '3_failed', null, null)`);
      const files = { '1700000000000-CreateUsers.ts': '', '2_done.ts': '', '3_failed.ts': schemaStep };
      const place = [makeProject(files).dir, { DATABASE_URL: url }] as const;
      expect((await runInProcess(['baseline', '--from', 'typeorm'], ...place)).stdout).toBe(
        '1700000000000-CreateUsers: marked as executed\n',
      );
      expect((await runInProcess(['baseline', '--from', 'prisma'], ...place)).stdout).toBe(
        '2_done: marked as executed\n',
      );
    });
  });
});

describe('what Drizzle has executed', () => {
  const records = `create schema drizzle;
    create table drizzle.__drizzle_migrations (id serial, hash text, created_at bigint);
    insert into drizzle.__drizzle_migrations (hash, created_at) values ('a', 1700000000000), ('b', 1700000000001)`;
  const journal = JSON.stringify({ entries: [{ idx: 0, when: 1_700_000_000_000, tag: '0000_init' }] });

  it('is taken over by the names of its journal, and not without one', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(records);
      const { dir } = makeProject({ '0000_init.ts': schemaStep, '0001_next.ts': schemaStep });
      const place = [dir, { DATABASE_URL: url }] as const;
      const unknown = await runInProcess(['baseline', '--from', 'drizzle'], ...place);
      expect(unknown.code).toBe(2);
      expect(unknown.stderr).toMatch(/Drizzle has executed is not known[^]*drizzle\/meta\/_journal\.json/);
      mkdirSync(path.join(dir, 'db/out/meta'), { recursive: true });
      writeFileSync(path.join(dir, 'db/out/meta/_journal.json'), journal);
      writeFileSync(path.join(dir, 'drizzle.config.ts'), `export default { out: './db/out' };`);
      expect((await runInProcess(['up'], ...place)).stderr).toContain('baseline --from drizzle');
      expect(await runInProcess(['baseline', '--from', 'drizzle'], ...place)).toMatchObject({
        code: 0,
        stdout: '0000_init: marked as executed\n',
        stderr: 'recorded by the other tool, but no file here: created_at 1700000000001\n',
      });
    });
  });
});

describe('a migration that requires what another tool does', () => {
  it('is refused by plan and up, with what to run first, until that is recorded as executed', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const requires = `['prisma:2_b', 'typeorm:CreateUsers1700000000000']`;
      const files = {
        '1-a.ts': schemaStep,
        '2-b.ts': `${data} export const options = { requires: ${requires} };`,
      };
      const place = [makeProject(files).dir, { DATABASE_URL: url }] as const;
      const refused = async (why: RegExp): Promise<void> => {
        for (const verb of ['plan', 'up']) {
          const { code, stderr } = await runInProcess([verb], ...place);
          expect({ verb, code }).toEqual({ verb, code: 3 });
          expect(stderr).toMatch(why);
        }
        expect((await runInProcess(['executed'], ...place)).stdout).toBe('');
      };
      const first = /^error: 2-b requires prisma:2_b, which is not executed$/m;
      await refused(first);
      await refused(/there is no table "_prisma_migrations".*\n.*npx prisma migrate deploy/);
      await client.query(`create table _prisma_migrations (id text, migration_name text, finished_at timestamptz, rolled_back_at timestamptz);
        insert into _prisma_migrations (id, migration_name) values ('x', '2_b')`);
      await refused(/_prisma_migrations does not record it; nothing was run/);
      await client.query('update _prisma_migrations set finished_at = now()');
      await refused(/requires typeorm:CreateUsers1700000000000.*\n.*\n.*typeorm migration:run/);
      await client.query(`create table migrations (id serial, timestamp bigint, name text);
        insert into migrations (timestamp, name) values (1700000000000, 'CreateUsers1700000000000')`);
      expect((await runInProcess(['up'], ...place)).code).toBe(0);
      expect((await client.query('select n from people')).rows).toEqual([{ n: 1 }]);
    });
  });
});

describe('files that another tool has recorded as executed', () => {
  const places = [
    ['of knex', 'knex', 'knex_migrations', ''],
    [
      'of knex, in a table of another name',
      'knex --table app.done',
      'app.done',
      `schemaName: 'app', tableName: 'done'`,
    ],
    ['of Sequelize with underscored names', 'sequelize', 'sequelize_meta', ''],
  ] as const;

  it.each(places)('are not run again: %s', async (_, tool, table, migrations) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`create schema app; create table ${table} (id serial, name text);
        insert into ${table} (name) values ('1-a.js'), ('gone.js');
        create table seen (name text)`);
      const source = (name: string): string => `exports.up = (db) => db('seen').insert({ name: '${name}' });`;
      const { dir } = makeProject({ '1-a.js': source('a'), '2-b.js': source('b') });
      writeFileSync(
        path.join(dir, 'knexfile.mjs'),
        `export default { client: 'pg', connection: ${JSON.stringify(url)}, migrations: { ${migrations} } };`,
      );
      const place = [dir, {}] as const;
      const seen = async (): Promise<unknown> =>
        (await client.query('select name from seen order by 1')).rows;
      const said = `${table} records 1 file of this folder as executed by ${tool.split(' ')[0]}: 1-a`;
      const command = `umzug-cluster baseline --from ${tool}`;
      for (const [args, code, stream] of [
        [['up'], 3, 'stderr'],
        [['up', '--name', '1-a'], 3, 'stderr'],
        [['plan'], 3, 'stderr'],
        [['validate'], 3, 'stdout'],
        [['pending'], 0, 'stderr'],
      ] as const) {
        const ended = await runInProcess([...args], ...place);
        expect({ args, code: ended.code }).toEqual({ args, code });
        expect(ended[stream]).toContain(said);
        expect(ended[stream]).toContain(command);
      }
      expect(await seen()).toEqual([]);
      expect((await runInProcess(['up', '--name', '2-b'], ...place)).code).toBe(0);
      expect((await runInProcess(['up', '--run-recorded', '--allow-out-of-order'], ...place)).code).toBe(0);
      expect(await seen()).toEqual([{ name: 'a' }, { name: 'b' }]);
      expect(await runInProcess(['validate'], ...place)).toMatchObject({ code: 0 });
    });
  });

  it('are named where what they create is there already', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query('create table people (id int)');
      const files = {
        '1-a.js': `exports.up = (db) => db.schema.createTable('people', (t) => t.increments());`,
      };
      const { code, stderr } = await runInProcess(['up'], makeProject(files).dir, {
        DATABASE_URL: url,
      });
      expect(code).toBe(1);
      expect(stderr).toMatch(/already exists\n.*umzug-cluster baseline --to 1-a/);
    });
  });
});
