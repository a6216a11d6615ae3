import { describe, expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

/** The same mistakes in a schema migration, whose transaction holds the record that it has run. */

const tables = `
  create procedure ends() language plpgsql as $$ begin commit; end $$;
  create table t (id int primary key, n int not null default 0);
  insert into t (id) select generate_series(1, 10)`;

// What is done before stays.
const before = `export const up = (db) => db.raw('select 1');`;

const withMistake = (mistake: string): string => `
  export const up = async (db) => {
    await db.raw('create table made ()');
    await db('t').update({ n: 1 });
    ${mistake}
  };`;

describe('nothing of a schema migration is left, nor its record, where it', () => {
  it.each<[what: string, code: string, message: RegExp, hint: RegExp]>([
    ['calls commit', 'await db.commit();', /db\.commit must not be used/, /throw an error to roll/],
    ['runs COMMIT', `await db.raw('COMMIT');`, /must not run COMMIT/, /throw an error to roll/],
    [
      'hides COMMIT behind another',
      `await db.raw('select 1; commit; begin');`,
      /must not run COMMIT/,
      /throw an error/,
    ],
    ['runs COMMIT in a DO block', `await db.raw('do $$ begin commit; end $$');`, /ended the trans/, /COMMIT/],
    ['runs COMMIT in a procedure', `await db.raw('call ends()');`, /ended the transaction/, /COMMIT/],
    ['runs rollback and hides it', `await db.raw('rollback').catch(() => 0);`, /not run ROLLBACK/, /throw/],
    [
      'takes the guard away',
      `await db.raw('delete from umzug_cluster.guard_open');`,
      /ended its tr/,
      /COMMIT/,
    ],
    [
      'swallows a SQL error',
      `await db.raw('select 1/0').catch(() => 0);`,
      /caught a SQL error/,
      /do not catch the err/,
    ],
    ['forgets a statement', `db('t').update({ n: 9 });`, /never ran it/, /await/],
    ['forgets a change of the schema', `db.schema.createTable('x', () => 0);`, /never ran it/, /await/],
    ['does not await', `db('t').update({ n: 9 }).then(() => 0);`, /still running/, /await/],
    [
      'leaves a rejection behind',
      `void (async () => { throw new Error('lost'); })(); await db.raw('select pg_sleep(0.1)');`,
      /nothing awaited: lost/,
      /await or return every promise/,
    ],
    ['leaves a savepoint open', `await db.transaction();`, /left a transaction .* open/, /commit or roll/],
    ['changes the session', `await db.raw('set search_path to x');`, /must not run SET/, /SET LOCAL/],
    ['throws a text', `throw 'no way';`, /threw a non-Error: "no way"/, /fix/],
  ])('%s', async (_what, code, message, hint) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(tables);
      const place = { cwd: makeProject({ '0.ts': before, 'a.ts': withMistake(code) }).dir, url };
      const { code: exit, stderr } = await run(['up'], place);
      expect(exit, stderr).toBe(1);
      expect(stderr.match(/^error: /gm), stderr).toHaveLength(1);
      expect(stderr).toMatch(new RegExp(`^error: a\\b.*${message.source}`, 'm'));
      expect(stderr.split(/^ +hint: /m)[1], stderr).toMatch(hint);
      const { rows } = await client.query(
        `select to_regclass('made') as made, (select max(n) from t) as n,
                (select array_agg(name) from umzug_cluster.migrations) as recorded`,
      );
      expect(rows).toEqual([{ made: null, n: 0, recorded: ['0'] }]);
    });
  });
});
