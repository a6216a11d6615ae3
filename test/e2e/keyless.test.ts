import { readFileSync, symlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { killAll } from '../support/audit.ts';
import { groupMembers, killGroup, rowsDone, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { bySets, drained, moveAllTheWhile, noteWrites } from '../support/draining.ts';
import { hurry, makeProject } from '../support/project.ts';

/** Tables without a key that could identify their rows: each is known by its place. */

const timeout = 240_000;
const rounds = process.env['FAULTS_LONG'] === '1' ? 60 : 3;
// so many that there is work left after all rounds
const rows = 600 * rounds;

// An index on what is set: rows move when they are updated. The id is for the test alone.
const createTable = `
  create table t (id int, version int, n int not null default 0, hits int not null default 0, pad text not null);
  create index on t (version);
  ${noteWrites('int')}
  insert into t (id, pad) select i, repeat('x', 20 + i % 60) from generate_series(1, ${rows}) as i;
  analyze t;`;

const byRows = (seconds = 0): string => `
  import { existsSync as isThere } from 'node:fs';
  import { updateRows } from 'umzug-cluster';
  const change = (by, version) => async (db, rows) => {
    if (!isThere(new URL('../enough', import.meta.url))) await db.raw('select pg_sleep(${seconds})');
    const changed = rows.map(({ ctid, n }) => ({ ctid, n: n + by, version }));
    await updateRows(db, 't', changed, { key: ['ctid'], set: ['n', 'version'] });
  };
  export const select = (db) => db('t').select('ctid', 'n').whereNull('version');
  export const update = change(1, 2);
  export const down = { select: (db) => db('t').select('ctid', 'n').where('version', 2), update: change(-1, null) };`;

const styles = [
  ['rows', byRows],
  ['sets', (seconds = 0) => bySets('{}', seconds)],
] as const;

const small = ['--workers', '2', '--chunk-size', '60'];

describe('a table without a key', () => {
  it.each(styles)(
    'has every row written once though processes are killed while the application moves rows, by %s',
    async (_style, source) => {
      await withDatabase(async ({ url, client }) => {
        await client.query(createTable);
        const place = { cwd: makeProject({ 'a.ts': source(0.2) }).dir, url };
        const stop = moveAllTheWhile(url);
        for (let round = 0; round < rounds; round += 1) {
          const before = await rowsDone(client);
          const running = start(['up', ...small], place);
          await until('rows are migrated', async () => (await rowsDone(client)) > before);
          // the kill must hit another point of the chunk each time
          await sleep(Math.random() * 50);
          killGroup(running.pid);
          await running.outcome;
          await until('the whole process group is gone', () => groupMembers(running.pid).length === 0);
        }
        expect(await drained(client), 'killed in the middle').toMatchObject({
          n: { 0: expect.any(Number) as number },
          most: 1,
        });
        hurry(place.cwd);
        const last = await run(['up'], place);
        const hits = await stop();
        expect(last.code, last.stderr).toBe(0);
        expect(await drained(client)).toEqual({ n: { 1: rows }, most: 1 });
        const { rows: sums } = await client.query('select sum(hits)::int as hits from t');
        expect(sums, 'no write of the application is lost').toEqual([{ hits }]);
        expect((await run(['verify'], place)).code).toBe(0);
      });
    },
    timeout,
  );

  it.each(styles)(
    'is rolled back from the middle of a killed run, and migrated again, by %s',
    async (_style, source) => {
      await withDatabase(async ({ url, client }) => {
        await client.query(createTable);
        const place = { cwd: makeProject({ 'a.ts': source(0.2) }).dir, url };
        const running = start(['up', ...small], place);
        await until('a part is migrated', async () => (await rowsDone(client)) > rows / 5);
        await killAll(client, running);
        hurry(place.cwd);
        const down = await run(['down', ...small], place);
        expect(down.code, down.stderr).toBe(0);
        expect(await drained(client)).toEqual({ n: { 0: rows }, most: 2 });
        await client.query('truncate writes');
        expect(await run(['up'], place)).toMatchObject({ code: 0 });
        expect(await drained(client)).toEqual({ n: { 1: rows }, most: 1 });
      });
    },
    timeout,
  );

  const fewRows = 'insert into t (id) select generate_series(1, 300)';
  it.each([
    ['has none', 'create table t (id int, version int, n int not null default 0)'],
    ['may be null', 'create table t (id int unique, version int, n int not null default 0)'],
    [
      'has one null',
      `create table t (id int, version int, n int not null default 0);
       create unique index on t (id) nulls not distinct; insert into t (id) values (null)`,
    ],
    [
      'is deferrable',
      'create table t (id int primary key deferrable, version int, n int not null default 0)',
    ],
    [
      'is of some rows',
      `create table t (id int not null, version int, n int not null default 0);
       create unique index on t (id) where id < 100`,
    ],
  ])('is one whose unique key %s', async (_what, table) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${table}; ${fewRows}`);
      const place = { cwd: makeProject({ 'a.ts': bySets('{}') }).dir, url };
      const up = await run(['up', '--chunk-size', '50'], place);
      expect(up.code, up.stderr).toBe(0);
      const { rows: sums } = await client.query(
        'select bool_and(n = 1 and version = 2) as done, min(n) as least, max(n) as most from t',
      );
      expect(sums).toEqual([{ done: true, least: 1, most: 1 }]);
    });
  });

  it('is planned: the order, and what becomes of rows that move', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`create table t (id int, version int, n int not null default 0); ${fewRows}`);
      const place = { cwd: makeProject({ 'a.ts': byRows() }).dir, url };
      const plan = await run(['plan', '--json'], place);
      expect(plan.code, plan.stderr).toBe(0);
      const { migrations } = JSON.parse(plan.stdout) as { readonly migrations: readonly unknown[] };
      expect(migrations[0]).toMatchObject({
        key: ['ctid'],
        order: { by: 'physical', why: '"t" has no key' },
        sample: { changedColumns: ['version', 'n'] },
      });
    });
  });

  it.each([
    ['row by row', byRows()],
    ['set-based', bySets('{}')],
  ])('has its bad row quarantined, and finds it where it has moved, %s', async (_how, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`
        create table t (id int, version int, n int not null default 0, check (id <> 77 or n = 0));
        ${noteWrites('int')} ${fewRows}`);
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const where = async (): Promise<string> =>
        (await client.query(`select ctid::text from t where id = 77`)).rows[0].ctid;
      const at = await where();
      const up = await run(['up', '--workers', '1', '--chunk-size', '40'], place);
      expect(up.code, up.stderr).toBe(1);
      expect(up.stderr).toContain(`row ${at} is quarantined`);
      expect(await drained(client)).toEqual({ n: { 0: 1, 1: 299 }, most: 1 });
      expect(await run(['up'], place), 'until it is retried').toMatchObject({ code: 1 });
      await client.query('update t set id = id where id = 77');
      const moved = await where();
      expect(moved).not.toBe(at);
      const retried = await run(['retry', 'a', '--workers', '1'], place);
      expect(retried.code, retried.stderr).toBe(1);
      expect(retried.stderr).toContain(`row ${moved} is quarantined`);
      await client.query('alter table t drop constraint t_check');
      const again = await run(['retry', 'a'], place);
      expect(again.code, again.stderr).toBe(0);
      expect(await drained(client)).toEqual({ n: { 1: 300 }, most: 1 });
    });
  });

  const matchAgain = (when: string): string => `
    create constraint trigger again after update on t deferrable initially deferred
      for each row when (${when} and new.id < 10) execute function again()`;

  it('ends in an error where rows match again for ever, and continues once they do not', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`
        create table t (id int, version int, n int not null default 0); ${fewRows};
        create function again() returns trigger language plpgsql as
          $$ begin
            update public.t set version = case when new.version is null then 2 end where id = new.id; return null;
          end $$;
        ${matchAgain('new.version = 2')}`);
      const place = { cwd: makeProject({ 'a.ts': bySets('{}') }).dir, url };
      const up = await run(['up', '--workers', '1'], place);
      expect(up.code, up.stderr).toBe(1);
      expect(up.stderr).toMatch(/rows of "t" match select again as fast as they are migrated/);
      await client.query('drop trigger again on t');
      const last = await run(['up', '--workers', '1'], place);
      expect(last.code, last.stderr).toBe(0);
      expect((await run(['verify'], place)).code).toBe(0);
      await client.query(matchAgain('new.version is null'));
      const down = await run(['down', '--workers', '1'], place);
      expect(down.code, down.stderr).toBe(1);
      await client.query('drop trigger again on t');
      const back = await run(['down', '--workers', '1'], place);
      expect(back.code, back.stderr).toBe(0);
      const { rows: left } = await client.query(
        'select count(*)::int as rows from t where version is not null',
      );
      expect(left).toEqual([{ rows: 0 }]);
    });
  });

  it.each([
    [
      'rows that still match after their update',
      `export const select = (db) => db('t').select('ctid');
       export const update = (db, rows) => db('t').whereIn('ctid', rows.map(({ ctid }) => ctid)).update({ n: 1 });`,
      /300 rows still match after update[^]*tables without a key, such as "t"[^]*add a primary key first/,
    ],
    [
      'rows that are deleted without leave',
      `import { deleteRows } from 'umzug-cluster';
       export const select = (db) => db('t').select('ctid');
       export const update = (db, rows) => deleteRows(db, 't', rows, { key: ['ctid'] });`,
      /moved or deleted 300 of its rows' keys[^]*options.allowDelete/,
    ],
    ['the order of its key', bySets("{ order: 'key' }"), /options.order cannot be 'key': "t" has no key/],
    [
      'weights',
      bySets("{ weigh: (db) => db.raw('1') }"),
      /options.weigh cuts chunks in the order of the key, and "t" has none/,
    ],
    ['undo', bySets('{ undo: true }'), /undo cannot find the rows of "t" again: it has no key/],
  ])('refuses %s', async (_what, source, message) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`create table t (id int, version int, n int not null default 0); ${fewRows}`);
      const up = await run(['up', '--workers', '1'], { cwd: makeProject({ 'a.ts': source }).dir, url });
      expect(up.code).not.toBe(0);
      expect(up.stderr).toMatch(message);
      const { rows: left } = await client.query('select count(*)::int as rows, sum(n)::int as n from t');
      expect(left, 'nothing was changed').toEqual([{ rows: 300, n: 0 }]);
    });
  });
});

const root = path.join(import.meta.dirname, '..', '..');
const page = readFileSync(path.join(root, 'docs/tables-without-a-key.md'), 'utf8');
const examples = [...page.matchAll(/```ts\n\/\/ migrations\/[\dT.]+\.(\S+)\.ts\n([\s\S]*?)```/g)].map(
  ([, name = '', source = '']) => [name, source] as const,
);

describe('the example', () => {
  const effects: Readonly<Record<string, string>> = {
    'people-dedupe': 'select count(*) = 50 and count(distinct email) = 50 from people',
    'people-slug': `select count(*) = 300 and bool_and(slug = lower(name)) from people`,
  };

  it.each(examples)('%s does what it says, though it is killed', async (name, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`
        create table people (email text not null, name text not null, slug text);
        insert into people select (n % 50) || '@example.org', 'Ann ' || n from generate_series(1, 300) as n;
        create index on people (email);
        create function slowly() returns trigger language plpgsql as
          $$ begin perform pg_sleep(0.002); return coalesce(new, old); end $$;
        create trigger slowly before update or delete on people for each row execute function slowly()`);
      const { dir } = makeProject({ [`${name}.ts`]: source });
      symlinkSync(path.join(root, 'node_modules'), path.join(dir, 'node_modules'));
      const place = { cwd: dir, url };
      const running = start(['up', '--workers', '1', '--chunk-size', '20'], place);
      await until('rows are migrated', async () => (await rowsDone(client)) > 0);
      await killAll(client, running);
      const up = await run(['up'], place);
      expect(up.code, up.stderr).toBe(0);
      const { rows: found } = await client.query({ text: effects[name] ?? 'select false', rowMode: 'array' });
      expect(found).toEqual([[true]]);
      expect((await run(['verify'], place)).code).toBe(0);
    });
  });

  it('is shown for both', () => {
    expect(examples.map(([name]) => name)).toEqual(Object.keys(effects));
  });
});
