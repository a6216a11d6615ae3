import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { type Outcome, type Place, run, start } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { recordsIn, recordsOf } from '../support/log-records.ts';
import { makeProject } from '../support/project.ts';

/** What `update` does outside its transaction happens on each try: `context` is what it can be told apart by. */

// As a mail would be sent: a file is not rolled back.
const source = `
  import { appendFileSync } from 'node:fs';
  export const select = (db) => db('t').select('id');
  export const update = async (db, rows, { migration, chunk, attempt }) => {
    appendFileSync('sent', JSON.stringify({ migration, chunk, attempt, ids: rows.map(({ id }) => id) }) + '\\n');
    await db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + 1') });
    if (attempt < 3) await db.raw("do $$ begin raise 'again' using errcode = '40001'; end $$");
  };`;

interface Sent {
  readonly migration: string;
  readonly chunk: string;
  readonly attempt: number;
  readonly ids: readonly number[];
}

it('is done at least once: every try of a chunk is given the same name of it, and its number', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`create table t (id int primary key, n int not null default 0);
      insert into t (id) select generate_series(1, 20); analyze t`);
    const { dir } = makeProject({ 'a.ts': source });
    // Nobody takes a part of a chunk's range between two tries.
    const env = { UMZUG_CLUSTER_LANES: '1' };
    const { code, stderr } = await run(['up', '--workers', '1', '--chunk-size', '10'], {
      cwd: dir,
      url,
      env,
    });
    expect(code, stderr).toBe(0);
    expect((await client.query('select distinct n from t')).rows).toEqual([{ n: 1 }]);
    const lines = readFileSync(path.join(dir, 'sent'), 'utf8').trim().split('\n');
    const sent = lines.map((line) => JSON.parse(line) as Sent);
    const chunks = new Set(sent.map(({ chunk }) => chunk));
    expect(chunks.size).toBeGreaterThan(1);
    for (const name of chunks) {
      const tries = sent.filter(({ chunk }) => chunk === name);
      expect(tries.map(({ migration, attempt }) => [migration, attempt])).toEqual([
        ['a', 1],
        ['a', 2],
        ['a', 3],
      ]);
      // There may be fewer rows on a later try: so the key of a row is the better name for it.
      expect(new Set(tries.map(({ ids: [first] }) => first)).size).toBe(1);
    }
  });
});

/** In a process of its own, which has no connections beside those of the command and of author code. */
const processOf = (args: readonly string[], place: Place): Promise<Outcome> => start(args, place).outcome;

const own = `
  import { createRequire } from 'node:module';
  const pg = createRequire(${JSON.stringify(import.meta.filename)})('pg');
  const own = new pg.Client({ connectionString: process.env.DATABASE_URL, application_name: 'orm' });
  let connected;
  const connection = async () => { await (connected ??= own.connect()); return own; };
  export const select = (db) => db('t').select('id');`;

it.each([
  [
    'a row that its chunk has locked',
    `export const update = async (db, rows) => {
       await db.raw('select 1');
       await (await connection()).query('update t set n = 7 where id = any ($1)', [rows.map(({ id }) => id)]);
     };`,
  ],
  [
    'another table, and runs no statement on db',
    `export const update = async () => { await (await connection()).query('insert into seen values (1)'); };`,
  ],
  [
    'another table, which options allow to run no statement on db',
    `export const options = { allowNoQueries: true };
     export const update = async () => { await (await connection()).query('insert into seen values (1)'); };`,
  ],
])('is a mistake of plan and up where it writes through its own connection: %s', async (_what, update) => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`create table t (id int primary key, n int not null default 0); create table seen (n int);
      insert into t (id) select generate_series(1, 20); analyze t`);
    const { dir } = makeProject({ 'a.ts': `${own} ${update}` });
    for (const verb of ['plan', 'up']) {
      const { code, stderr } = await processOf([verb, '--log-level', 'warn'], { cwd: dir, url });
      expect(stderr).toMatch(/error: a.*: update wrote outside its transaction\n/);
      expect(stderr).toMatch(/hint: write through the db passed to update/);
      expect(stderr).not.toContain('allowNoQueries');
      expect(code).toBe(1);
    }
  });
});

it.each([
  ['plain', 'insert into seen values (1)'],
  ['with a query before it', 'with one as (select 1 as n) insert into seen select n from one'],
])('is a mistake of plan and up where update writes through db as well, %s', async (_what, statement) => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`create table t (id int primary key, n int not null default 0); create table seen (n int);
      insert into t (id) select generate_series(1, 20); analyze t`);
    const source = `${own}
      export const update = async (db, rows) => {
        await (await connection()).query('${statement}');
        await db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: 1 });
      };`;
    const { dir } = makeProject({ 'a.ts': source });
    for (const verb of ['plan', 'up']) {
      const { code, stderr } = await processOf([verb, '--log-level', 'warn'], { cwd: dir, url });
      expect(stderr).toMatch(/error: a.*: update wrote outside its transaction\n/);
      expect(code).toBe(1);
    }
    expect((await client.query('select distinct n from t')).rows).toEqual([{ n: 0 }]);
  });
});

it.each([
  ['reads', `"with one as (select 1 for update) select 'insert into' from one"`, false],
  ['ends a transaction, which may have read or written', `'begin; select 1; commit'`, true],
])('is no mistake, told at most once, where its own connection %s', async (_what, statement, isTold) => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`create table t (id int primary key, n int not null default 0);
      insert into t (id) select generate_series(1, 60); analyze t`);
    const source = `${own}
      export const update = async (db, rows) => {
        const other = await connection();
        await other.query(${statement}.replace('begin; select 1; commit', 'begin'));
        if (${isTold}) await other.query('commit');
        await db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: 1 });
      };`;
    const { dir } = makeProject({ 'a.ts': source });
    const { code, stderr } = await processOf(
      ['up', '--workers', '1', '--chunk-size', '20', '--log-format', 'json'],
      { cwd: dir, url },
    );
    expect(code, stderr).toBe(0);
    const told = recordsOf(recordsIn(stderr), 'update.outside').map(({ application }) => application);
    expect(told).toEqual(isTold ? ['orm'] : []);
  });
});

it.each([
  ['a row that its chunk has locked', 'update t set n = 7 where id = any ($1)'],
  ['another table', 'insert into seen select unnest($1::int[])'],
])('is a mistake of up in a forked worker, too, where it writes to %s', async (_what, statement) => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`create table t (id int primary key, n int not null default 0); create table seen (n int);
      insert into t (id) select generate_series(1, 8000); analyze t`);
    const source = `
      import cluster from 'node:cluster';
      ${own}
      export const update = async (db, rows) => {
        const ids = rows.map(({ id }) => id);
        if (!cluster.isPrimary) await (await connection()).query(${JSON.stringify(statement)}, [ids]);
        await db.raw('select pg_sleep(0.2)');
        await db('t').whereRaw('id = any (?)', [ids]).update({ n: 1 });
      };`;
    const flags = ['--workers', '2', '--chunk-size', '20', '--log-level', 'warn'];
    const { code, stderr } = await processOf(['up', ...flags], {
      cwd: makeProject({ 'a.ts': source }).dir,
      url,
    });
    expect(stderr).toMatch(/error: a.*: update wrote outside its transaction\n/);
    expect(stderr).toMatch(/hint: write through the db passed to update/);
    expect(code).toBe(1);
  });
});
