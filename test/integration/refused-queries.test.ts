import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { UmzugClusterError } from '../../src/index.ts';
import { documented } from '../support/documented.ts';
import { Selects } from '../support/selects.ts';

let selects: Selects;

beforeAll(async () => {
  selects = await Selects.create();
});

beforeEach(async () => {
  await selects.client.query('drop schema if exists umzug_cluster cascade');
});

afterAll(async () => {
  await selects.drop();
});

/** The error that ends a migration with this `select`; `update` would write. */
async function refused(select: string): Promise<UmzugClusterError> {
  const source = `
    const loaded = new Date();
    export const select = ${select.startsWith('async') ? select : `(db) => ${select}`};
    export const update = (db, rows) => db('seen').insert({ row: 'written' });`;
  const error: unknown = await selects.run([source]).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(UmzugClusterError);
  const { rows } = await selects.client.query(`
    select to_regclass('umzug_cluster.runs') as ledger, (select count(*)::int from seen) as written`);
  expect(rows, 'nothing is written').toEqual([{ ledger: null, written: 0 }]);
  return error as UmzugClusterError;
}

const grouped = /must not group or aggregate/;
const clauses: readonly (readonly [what: string, select: string, said: RegExp])[] = [
  ['an aggregate inside an expression', `db('people').select(db.raw('coalesce(max(n), 0)'))`, grouped],
  ['an aggregate of one’s own', `db('people').select(db.raw('total(n)'))`, grouped],
  ['a set-returning function', `db('people').select('id', db.raw('unnest(tags)'))`, /set-returning function/],
  ['a limit in the subquery it begins with', `db(db('people').limit(5).as('s'))`, /must not use limit/],
  [
    'a limit in a raw subquery',
    `db.raw('select id from (select id from people limit 5) s')`,
    /not use limit/,
  ],
  ['an offset in a raw subquery', `db.raw('select id from (select id from people offset 5) s')`, /limit/],
  ['distinct in a raw subquery', `db.raw('select id from (select distinct id from people) s')`, grouped],
  [
    'a group in a raw CTE',
    `db.raw('with c as (select id from people group by id) select id from c')`,
    grouped,
  ],
  [
    'a window in a raw subquery',
    `db.raw('select id, r from (select id, rank() over (order by n) r from people) s')`,
    /must not use a window function/,
  ],
  [
    'a union in a raw subquery',
    `db.raw('select id from (select id from people union all select id + 1000 from people) s')`,
    /returns no column of a table as it is/,
  ],
  [
    'a lock in a raw subquery',
    `db.raw('select id from (select id from people for update) s')`,
    /must not lock/,
  ],
  [
    'a right join to its base in a raw one',
    `db.raw('select p.id from people p right join teams t on t.id = p.team')`,
    /outer side of a join/,
  ],
  [
    'a recursive CTE',
    `db.raw('with recursive r as (select id from people union select id + 1 from r where id < 3) select id from r')`,
    /must not take its rows from a recursive CTE/,
  ],
  [
    'a CTE that writes',
    `db('people').with('x', db.raw('delete from notes returning id')).select('id')`,
    /must not write/,
  ],
  [
    'a raw CTE that writes',
    `db.raw('with x as (delete from notes returning person_id) select id from people join x on person_id = id')`,
    /must not write/,
  ],
  [
    'a function that writes',
    `db('people').select('id', db.raw('logs(id)'))`,
    /must not write: cannot execute INSERT/,
  ],
  [
    'a sequence that it advances',
    `db('people').select('id', db.raw("nextval('counter')"))`,
    /must not write/,
  ],
];

const unstable: typeof clauses = [
  [
    'the time',
    `db('people').where('born', '<', new Date())`,
    /differs from call to call: its binding 1, a Date/,
  ],
  ['the time in another form', `db('people').where('id', '<', Date.now())`, /its binding 1, a number/],
  [
    'the time of its loading',
    `db('people').where('born', '<', loaded)`,
    /from process to process: its binding 1, a Date/,
  ],
  [
    'that time as text',
    `db('people').where('born', '<', loaded.toISOString())`,
    /process to process: its binding 1, a string/,
  ],
  ['chance', `db('people').whereRaw('n > ? and id > ?', [1, Math.random()])`, /its binding 2, a number/],
  ['other SQL', `db('people').select('id').whereRaw('id > ' + process.hrtime.bigint())`, /its SQL/],
];

const results: typeof clauses = [
  [
    'async',
    `async (db) => db('people').select('id')`,
    /not its result: remove await[\s\S]*remove async as well/,
  ],
  ['async and awaits', `async (db) => await db('people').select('id')`, /not its result: remove await/],
  ['rows', `[{ id: 1 }]`, /not its result: remove await/],
];

const unknown: typeof clauses = [
  ['table', `db('nothing')`, /table "nothing" does not exist[\s\S]*search_path/],
  [
    'table in a raw one',
    `db.raw('select id from nothing')`,
    /relation "nothing" does not exist[\s\S]*search_path/,
  ],
  [
    'table that is joined',
    `db('people').join('nothing', 'a', 'b')`,
    /relation "nothing" does not exist[\s\S]*search_path/,
  ],
  ['column', `db('people').where('nothing', 1)`, /column "nothing" does not exist/],
  ['SQL', `db.raw('select id frm people')`, /refused by Postgres: syntax error/],
  ['statement', `db.raw('select id from people; select 1')`, /cannot insert multiple commands/],
  ['fragment', `db('people').whereRaw('n = 1 -- a comment')`, /cannot be cut into chunks/],
  ['type', `db('people').where('n', 'many')`, /invalid input syntax/],
];

const bases: typeof clauses = [
  ['of a view', `db('grown')`, /it is a view/],
  ['of a view in a raw one', `db.raw('select id from grown')`, /it is a view/],
  ['of a table without a key', `db.raw('select v from keyless')`, /no primary key/],
  ['without its key', `db.raw('select name from people')`, /must include the key column "id" of "people"/],
  [
    'without a part of its key',
    `db.raw('select a, v from "Other"."Things"')`,
    /the key columns "a", "b" of "Things"/,
  ],
  ['that are of no table', `db.raw('select 1 as id')`, /returns no column of a table as it is/],
  [
    'whose key is computed',
    `db.raw('select id + 0 as id, name from people')`,
    /must include the key column "id"/,
  ],
  [
    'of two tables',
    `db.raw('select p.id as a, t.id as b from people p join teams t on t.id = p.team')`,
    /keys of "people" and "teams": it does not say whose rows/,
  ],
  [
    'with two keys of one name',
    `db.raw('select * from people p join teams t on t.id = p.team')`,
    /keys of "people" and "teams"[\s\S]*give it another name/,
  ],
  [
    'with a key and a value of one name',
    `db.raw('select id, name, n as id from people')`,
    /returns 2 columns "id", of "people"/,
  ],
];

describe.each([
  ['a select is refused that has', clauses],
  ['a select is refused that depends on', unstable],
  ['a select is refused that is or returns', results],
  ['a select is refused with an unknown', unknown],
  ['a select is refused that returns rows', bases],
])('%s', (_what, cases) => {
  it.each(cases)('%s', async (_case, select, said) => {
    const { code, message, detail, hint } = await refused(select);
    expect(code).toBe('SELECT_REFUSED');
    expect([message, detail, hint].join('\n')).toMatch(said);
  });
});

describe('a select that the documents show as refused', () => {
  it.each(documented('Queries that are refused'))('%s', async (select = '', says = '') => {
    const { code, message, detail } = await refused(select);
    expect(code).toBe('SELECT_REFUSED');
    expect([message, detail].join('\n')).toContain(says);
  });
});

describe('a select that is another one in a chunk than when the run began', () => {
  it('stops the run, and changes nothing', async () => {
    const source = `
      let calls = 0;
      export const select = (db) => db('people').select('id').where('n', '>', (calls += 1) > 2 ? 1 : 0);
      export const update = (db, rows) => db('seen').insert({ row: 'written' });`;
    await expect(selects.run([source])).rejects.toMatchObject({
      code: 'DRIFT',
      message: expect.stringContaining('select does not mean what it meant when the run began'),
    });
    expect((await selects.client.query('select from seen')).rowCount).toBe(0);
  });
});

describe('a join that returns a base row more than once', () => {
  it.each([
    ['built', `db('people as p').join('notes as o', 'o.person_id', 'p.id').select('p.id', 'o.body')`],
    ['raw', `db.raw('select p.id, tag from people p, unnest(p.tags) as tag')`],
  ])('%s: stops the run with an example, and changes nothing', async (_what, select) => {
    const source = `
      export const select = (db) => ${select};
      export const update = (db, rows) => db('seen').insert({ row: 'written' });`;
    await expect(selects.run([source])).rejects.toMatchObject({
      code: 'MIGRATION_FAILED',
      message: expect.stringContaining('select returns some rows more than once'),
      detail: expect.stringMatching(/key \["\d+"\] came \d+ times/),
    });
    expect((await selects.client.query('select from seen')).rowCount).toBe(0);
  });
});
