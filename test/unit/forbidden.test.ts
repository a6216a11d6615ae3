import { describe, expect, it } from 'vitest';
import { forbiddenIn } from '../../src/migration/handle/forbidden.ts';
import { normalized } from '../../src/migration/sql/sql-words.ts';
import { isLinear } from '../support/linear.ts';

const refusal = (sql: string, ddl = false): string | null => forbiddenIn(sql, { ddl })?.message ?? null;

describe('a statement that author code must not run', () => {
  it.each([
    ['COMMIT', 'COMMIT'],
    [' /* a /* nested */ */ -- x\n ;end', 'END'],
    ['rollback work', 'ROLLBACK'],
    ['start transaction', 'START TRANSACTION'],
    ['set search_path to x', 'SET'],
    ['set session statement_timeout = 0', 'SET'],
    ['set local transaction read only', 'SET LOCAL TRANSACTION'],
    ['set constraints all immediate', 'SET CONSTRAINTS ALL'],
    ['listen x', 'LISTEN'],
    ['prepare p as select 1', 'PREPARE'],
    ['discard all', 'DISCARD'],
    ['select pg_advisory_lock(1)', 'pg_advisory_lock'],
    ['select pg_try_advisory_lock (1, 2)', 'pg_advisory_lock'],
    [`select set_config('x.y', coalesce('a', 'b'), false)`, 'set_config(…, false)'],
    ['declare c cursor with hold for select 1', 'DECLARE … WITH HOLD'],
    ['create temp table x (a int)', 'CREATE TEMP'],
    ['copy t from stdin', 'COPY T FROM STDIN'],
    ['select a$b$ from t where pg_advisory_lock(1)', 'pg_advisory_lock'],
    [`select name'' , pg_advisory_lock(1)`, 'pg_advisory_lock'],
    ['truncate t', 'TRUNCATE'],
    ['alter table t add x int', 'ALTER'],
    ['lock table t', 'LOCK'],
    ['drop table t', 'DROP'],
    ['create unique index on t (a)', 'CREATE UNIQUE INDEX'],
  ])('%s', (sql, what) => {
    expect(refusal(sql)).toBe(`a migration must not run ${what}`);
  });

  it.each([
    ['update t set a = 1'],
    ['rollback to savepoint a'],
    ['set local search_path to x'],
    ['set constraints t_fk deferred'],
    ['select pg_advisory_xact_lock(1)'],
    [`select set_config('x.y', 'z', true)`],
    ['create temp table x (a int) on commit drop'],
    [`update t set a = 'commit; truncate t'`],
    [`insert into t select 'pg_advisory_lock(1)'`],
    [`select e'it\\'s pg_advisory_lock(1)'`],
    ['select $a$ pg_advisory_lock(1) $b$ ; $a$'],
    ['update templates set temp = 1 where hold'],
    ['with x as (select 1) update t set a = 1'],
  ])('but not %s', (sql) => {
    expect(refusal(sql)).toBe(null);
  });

  it.each(['truncate t', 'alter table t add x int', 'drop table t', 'create index on t (a)'])(
    'nor, in a schema migration, %s',
    (sql) => {
      expect(refusal(sql, true)).toBe(null);
    },
  );
});

it.each(['?, ', "e'", '$a$ ', '/* ', "set_config('a', ", 'pg_advisory_lock '])(
  'reads %s in time proportional to the length of the statement',
  (part) => {
    const read = (text: string): unknown => [
      normalized(text),
      forbiddenIn(`select set_config${text}`, { ddl: false }),
    ];
    expect(isLinear(part, read)).toBe(true);
  },
);
