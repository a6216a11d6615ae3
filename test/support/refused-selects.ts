/** A select that is refused, and what is said of it. */
export type RefusedSelect = readonly [what: string, select: string, said: RegExp];

const grouped = /must not group or aggregate/;
/** With a clause that is refused, in sight or not. */
export const clauses: readonly RefusedSelect[] = [
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
  ['a sample', `db.raw('select id from people tablesample system (50)')`, /must not take a sample/],
  [
    'a sample in a join',
    `db.raw('select p.id from people p tablesample bernoulli (50) join teams t on t.id = p.team')`,
    /must not take a sample/,
  ],
  ['chance', `db('people').whereRaw('random() < 0.5')`, /must not be random/],
  [
    'chance in a subquery',
    `db('people').whereIn('id', db.raw('(select person_id from notes where random() < 0.5)'))`,
    /must not be random/,
  ],
  [
    'a lock in a raw subquery',
    `db.raw('select id from (select id from people for update) s')`,
    /must not lock/,
  ],
  [
    'a right join to its base in a raw one',
    `db.raw('select p.id from people p right join teams t on t.id = p.team')`,
    /nullable side of a join/,
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

/** That depend on something. */
export const unstable: readonly RefusedSelect[] = [
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

/** That are, or return, something else than a query. */
export const results: readonly RefusedSelect[] = [
  [
    'async',
    `async (db) => db('people').select('id')`,
    /not its result: remove await[\s\S]*remove async as well/,
  ],
  ['async and awaits', `async (db) => await db('people').select('id')`, /not its result: remove await/],
  ['rows', `[{ id: 1 }]`, /not its result: remove await/],
];

/** With something that Postgres does not know. */
export const unknown: readonly RefusedSelect[] = [
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
  ['fragment', `db('people').whereRaw('n = 1 -- a comment')`, /cannot be split into chunks/],
  ['type', `db('people').where('n', 'many')`, /invalid input syntax/],
];

/** Whose rows cannot be told, or locked. */
export const bases: readonly RefusedSelect[] = [
  ['of a view', `db('grown')`, /it is a view/],
  ['of a view in a raw one', `db.raw('select id from grown')`, /it is a view/],
  ['of a table without a key', `db.raw('select v from keyless')`, /must include the key column "ctid"/],
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
    /keys of "people" and "teams"[\s\S]*rename it/,
  ],
  [
    'with a key and a value of one name',
    `db.raw('select id, name, n as id from people')`,
    /returns 2 columns "id", of "people"/,
  ],
];

/** Whose columns share a name: a row has one value for it. */
export const shared: readonly RefusedSelect[] = [
  [
    'the key, by two stars',
    `db('people as p').join('teams as t', 't.id', 'p.team').select('p.*', 't.*')`,
    /two columns named "id": row\.id would be t\.id, not p\.id, the key of "people"\nalso with "name"\n.*t\.id as t_id/,
  ],
  [
    'the key, by no list at all',
    `db('people').join('teams', 'teams.id', 'people.team').where('people.n', '>', 1)`,
    /row\.id would be teams\.id, not people\.id, the key/,
  ],
  [
    'the key, null where a left join finds nothing',
    `db('people as p').leftJoin('notes as o', 'o.id', 'p.id').select('p.id', 'o.id')`,
    /row\.id would be o\.id, not p\.id/,
  ],
  [
    'the key, of the same table',
    `db('people as p').join('people as b', 'b.id', 'p.boss').select('p.*', 'b.id')`,
    /row\.id would be b\.id, not p\.id/,
  ],
  [
    'a part of the key',
    `db('Other.Things as t').join('people as p', 'p.id', 't.a').select('t.a', 't.b', 'p.n as b')`,
    /two columns named "b": row\.b would be p\.n, not t\.b, the key of "Things"/,
  ],
  [
    'a value, in a raw one',
    `db.raw('select p.id, p.name, t.name from people p join teams t on t.id = p.team')`,
    /two columns named "name": row\.name would be t\.name, not p\.name\n/,
  ],
  [
    'no name of their own',
    `db('people').select('id', db.raw('n + 1'), db.raw('n + 2'))`,
    /two columns named "\?column\?": .* an expression, not an expression/,
  ],
];
