import { describe, expect, it } from 'vitest';
import { statementsOf } from '../../src/migration/sql/statements.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';
import { migrateHere } from '../support/small-run.ts';

describe('the statements of a string', () => {
  it.each<[what: string, sql: string, statements: readonly string[]]>([
    ['one, with a semicolon behind it', 'select 1 ; -- done;', ['select 1 ; -- done;']],
    ['nothing but comments', '-- a; b\n/* c; /* d; */ */ ;', []],
    [
      'texts',
      `select 'a;''b'; select E'\\';', U&'\\0061;'`,
      [`select 'a;''b'`, `select E'\\';', U&'\\0061;'`],
    ],
    ['quoted names', 'select 1 as "a;""b"; select 2', ['select 1 as "a;""b"', 'select 2']],
    [
      'dollars',
      'do $$ begin; end $$; do $a$ $$; $a$; select b$a$',
      ['do $$ begin; end $$', 'do $a$ $$; $a$', 'select b$a$'],
    ],
    [
      'parentheses',
      'create rule r as on insert to t do (select 1; select 2); select 3',
      ['create rule r as on insert to t do (select 1; select 2)', 'select 3'],
    ],
    [
      'the body of a function',
      'create or replace function f() returns int begin atomic select case when true then 1 end; select 2; end; select 3',
      [
        'create or replace function f() returns int begin atomic select case when true then 1 end; select 2; end',
        'select 3',
      ],
    ],
    ['begin as a name', 'select 1 as begin; select 2', ['select 1 as begin', 'select 2']],
  ])('are cut as psql cuts them: %s', (_what, sql, statements) => {
    expect(statementsOf(sql).map((one) => one.trim())).toEqual(
      statements.length === 1 ? [sql.replace(/ ; -- done;$/, '')] : statements,
    );
  });
});

const tables = `
  create table t (id int primary key, n int not null default 0);
  create procedure ends() language plpgsql as $$ begin commit; end $$;
  insert into t (id) select generate_series(1, 10)`;

// With its record the ledger is there.
const first = `export const up = (db) => db.raw('select 1');`;

/** What is done after a run of `a`, and what it threw. */
async function after(source: string): Promise<unknown> {
  return await withDatabase(async ({ url, client }) => {
    await client.query(tables);
    const error = await migrateHere(makeProject({ '0.ts': first, 'a.ts': source }).dir, url).then(
      () => null,
      (thrown: unknown) => String(thrown),
    );
    const { rows } = await client.query<Record<string, unknown>>(
      `select (select sum(n)::int from t) as n, to_regclass('made') is not null as made,
              (select count(*)::int from umzug_cluster.migrations where name = 'a') as recorded`,
    );
    return { error, ...rows[0] };
  });
}

const schema = (sql: string): string => `export const up = (db) => db.raw(${JSON.stringify(sql)});`;
const data = (sql: string): string => `
  export const select = (db) => db('t').select('id');
  export const update = async (db, rows) => {
    const results = await db.raw(${JSON.stringify(sql)});
    if (results[1].rowCount !== 10) throw new Error('no answers');
  };`;

const change = 'update t set n = n + 1; update t set n = n + 2;';

describe('several statements in one string', () => {
  it.each([
    ['a schema migration', schema(`${change} create table made (id int); create index on made (id);`), true],
    ['a chunk', data(change), false],
    [
      'a schema migration, as another role',
      schema(`${change} create table made (); set local role pg_monitor`),
      true,
    ],
    ['a chunk, as another role', data(`${change} set local role pg_monitor`), false],
  ])('run in the transaction of the record: %s', async (_what, source, made) => {
    expect(await after(source)).toEqual({ error: null, n: 30, made, recorded: 1 });
  });

  it.each([
    ['COMMIT', 'commit;', /must not run COMMIT/],
    ['COMMIT behind a comment', '/* ; */ commit', /must not run COMMIT/],
    ['ROLLBACK and another beginning', 'rollback; begin; update t set n = 9', /must not run ROLLBACK/],
    ['a procedure that commits', 'call ends(); update t set n = 9', /ended the transaction/],
    ['another identity', 'set local session authorization pg_monitor', /SET LOCAL SESSION AUTHORIZATION/],
    ['wrong SQL', 'update t set m = 1', /"m"/],
  ])('leave nothing where one of them is %s', async (_what, sql, message) => {
    for (const source of [schema(`${change} create table made (); ${sql}`), data(`${change} ${sql}`)]) {
      expect(await after(source)).toEqual({
        error: expect.stringMatching(message),
        n: 0,
        made: false,
        recorded: 0,
      });
    }
  });
});
