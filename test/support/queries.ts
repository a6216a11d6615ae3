/** A query as an author writes it, and the table whose rows it returns; default: people. */
export type Query = readonly [what: string, select: string, base?: string];

const things = '"Other"."Things"';

/** Those that begin with a table by name. */
export const built: readonly Query[] = [
  [
    'expressions',
    `db('people').select('id', db.raw('upper(name) as loud'), db.raw('case when n > ? then ? else ? end as size', [3, 'big', 'small']))`,
  ],
  ['a fragment that ends with a comment in brackets', `db('people').whereRaw('(n = 1 /* one */ or n = 2)')`],
  [
    'the operator ?|, with bindings',
    `db('people').select('id').whereRaw('doc \\\\?| ? and n > ?', [['d', 'e'], 1])`,
  ],
  [
    'the operator ?&, in or',
    `db('people').select('id').where('n', 1).orWhereRaw("doc \\\\?& array['a', 'd']")`,
  ],
  [
    'names with quotes and marks',
    `db('people').select('id', db.raw('"what\\\\? ""now""" as "a b"')).whereRaw('"what\\\\? ""now""" = ?', ['yes?'])`,
  ],
  [
    'exists',
    `db('people as p').select('p.id').whereExists(db('notes').whereRaw('person_id = p.id')).whereNotExists(db('teams').whereRaw("id = p.team and kind = 'odd'"))`,
  ],
  [
    'the operator ? beside a subquery',
    `db('people').select('id').whereRaw("doc \\\\? 'a'").whereIn('id', db('notes').select('person_id').whereRaw("'{\\"x\\": 1}' \\\\? 'x'"))`,
  ],
  [
    'an inner join',
    `db('people as p').join('teams as t', 't.id', 'p.team').select('p.id', 't.name as team').where('t.kind', 'odd').orWhere('p.n', 2)`,
  ],
  [
    'a key that is joined with itself',
    `db('people as p').join('notes as o', 'o.id', 'p.id').select('p.id', 'o.id', 'o.body', 'p.id')`,
  ],
  [
    'a lateral join with limit',
    `db('people as p').joinRaw('left join lateral (select body from notes where person_id = p.id order by at desc limit 1) as o on true').select('p.id', 'o.body')`,
  ],
  [
    'a CTE with a window function',
    `db('people as p').with('ranked', db('people').select('id', db.raw('row_number() over (partition by team order by born desc) as place'))).join('ranked as r', 'r.id', 'p.id').select('p.id', 'r.place')`,
  ],
  [
    'a recursive CTE',
    `db('people as p').withRecursive('up', (q) => q.select('id', db.raw('0 as depth')).from('people').whereNull('boss').unionAll((r) => r.select('c.id', db.raw('up.depth + 1')).from('people as c').join('up', 'up.id', 'c.boss'))).join('up', 'up.id', 'p.id').select('p.id', 'up.depth')`,
  ],
  [
    'a union in a subquery',
    `db('people').whereIn('id', db('notes').select('person_id').where('id', '<', 20).union(db('people').select('boss')))`,
  ],
  [
    'a composite key over a join',
    `db('Other.Things as t').join('teams', 'teams.id', 't.a').select('t.v', 'teams.name')`,
    things,
  ],
  [
    'the table itself in a subquery that groups',
    `db('people').whereIn('id', db('people').select('boss').groupBy('boss').having('boss', '<', 18)).select('id', 'name')`,
  ],
  ['a partitioned table', `db('events').where('v', '>', 20)`, 'events'],
  [
    'partitions, over a join',
    `db('events as e').join('people as p', 'p.id', 'e.id').select('e.v', 'p.name').where('e.at', '>', '2024-01-20')`,
    'events',
  ],
];

/** Those that are taken as they stand. */
export const whole: readonly Query[] = [
  [
    'raw with names of quotes and marks',
    `db.raw('select "k \\\\?", v as "k" from "Odd ""T\\\\?"""  where v > 20')`,
    '"Odd ""T?"""',
  ],
  ['raw with its key renamed', `db.raw('select id as person, name from people')`],
  [
    'raw with ? operators',
    `db.raw("select id from people where doc \\\\? 'd' or doc \\\\?| ? or doc \\\\?& array['d']", [['e']])`,
  ],
  [
    'raw with quoted names',
    `db.raw('select "what? ""now""" as "a?", id from people where "what? ""now""" = ?'.replace(/\\?(?!$)/g, '\\\\?'), ['yes?'])`,
  ],
  [
    'raw with two keys, of which one has its name',
    `db.raw('select p.id, t.id as team_id from people p join teams t on t.id = p.team')`,
  ],
  [
    'raw with a right join to the base table',
    `db.raw('select p.id, t.name from teams t right join people p on t.id = p.team')`,
  ],
  [
    'raw with CTEs',
    `db.raw('with c as (select person_id, count(*) as notes from notes group by 1) select p.id, notes from people p join c on person_id = p.id')`,
  ],
  [
    'raw from a materialized CTE',
    `db.raw('with p as materialized (select * from people where n < 4) select id, name from p')`,
  ],
  [
    'raw on another schema, with a composite key',
    `db.raw('select a, b as code from "Other"."Things" where v > 7')`,
    things,
  ],
  ['raw on a partitioned table', `db.raw('select id, at, v from events where v > 20')`, 'events'],
  [
    'from(raw)',
    `db.select('p.id', 't.name').from(db.raw('people p join teams t on t.id = p.team')).where('p.n', '>', 1).orWhere('t.id', 2)`,
  ],
  [
    'from(raw) with bindings',
    `db.select('s.id', 's.b').from(db.raw('(select id, n + ? as b from people where n > ?) as s', [10, 1]))`,
  ],
  ['two tables', `db({ p: 'people', t: 'teams' }).select('p.id', 't.name').whereRaw('t.id = p.team')`],
];

/** Those that are much like another one. */
export const alike: readonly Query[] = [
  ['or at the top', `db('people').where('n', 1).orWhere('team', 2).orWhereNull('team')`],
  ['an order, which is ignored', `db('people').select('id').orderBy('name', 'desc')`],
  [
    'a subquery in where',
    `db('people').select('id').whereIn('id', db('notes').select('person_id').where('body', 'like', '%1'))`,
  ],
  [
    'a left join',
    `db('people as p').leftJoin('teams as t', 't.id', 'p.team').select('p.*', 't.name as team')`,
  ],
  [
    'a schema in the name, with an alias',
    `db('Other.Things as t').where('t.a', '<', 5).orWhere('t.b', 'b77')`,
    things,
  ],
  [
    'a join with a subquery that groups',
    `db('people as p').join(db('notes').select('person_id').count('* as notes').groupBy('person_id').as('c'), 'c.person_id', 'p.id').select('p.id', 'c.notes')`,
  ],
  [
    'knex’s own JSON',
    `db('people').select('id').whereJsonPath('doc', '$.b.c', '=', 2).orWhereJsonSupersetOf('doc', { d: 1 })`,
  ],
  ['raw with an order, which is ignored', `db.raw('select id from people order by name')`],
  [
    'a subquery as the table',
    `db(db('people').select('id', 'n').where('n', '<', 3).as('s')).where('s.id', '>', 10)`,
  ],
  ['raw with bindings', `db.raw('select id, n from people where n = ? or team = any (?)', [2, [1, 2]])`],
  [
    'raw with a lateral join and limit',
    `db.raw('select p.id, o.body from people p, lateral (select body from notes where person_id = p.id order by at limit 1) o')`,
  ],
  ['raw', `db.raw('select * from people')`],
  [
    'jsonb operators',
    `db('people').select(db.raw("doc->'b'->>'c' as c"), db.raw("doc #>> '{b,c}' as d")).whereRaw("doc @> '{\\"b\\": {\\"c\\": 1}}'")`,
  ],
  ['where with ?', `db('people').select('id').where('doc', '?', 'd')`],
  ['the operator ?', `db('people').select('id').whereRaw("doc \\\\? 'd'")`],
  [
    'a column from a subquery',
    `db('people as p').select('p.id', db('notes').count('*').whereRaw('person_id = p.id').as('notes'))`,
  ],
  [
    'a join with itself',
    `db('people as p').join('people as b', 'b.id', 'p.boss').select('p.id', 'b.name as boss')`,
  ],
  ['raw from a CTE', `db.raw('with p as (select * from people where n < 4) select p.id, p.name from p')`],
  [
    'raw with a join with itself',
    `db.raw('select p.id, b.name from people p join people b on b.id = p.boss')`,
  ],
  [
    'raw with window functions in a join',
    `db.raw('select p.id, r.place from people p join (select id, rank() over (order by born) as place from people) r using (id)')`,
  ],
  ['an alias as an object', `db({ p: 'people' }).select('p.*').whereIn('p.team', [1, 2, 3])`],
  ['a table', `db('people')`],
  ['raw with an inner join', `db.raw('select p.id, t.name from people p join teams t on t.id = p.team')`],
  [
    'all columns of a join, of which two have one name',
    `db('people').join('teams', 'teams.id', 'people.team')`,
  ],
  [
    'a CTE',
    `db('people as p').with('busy', db('notes').select('person_id').groupBy('person_id').havingRaw('count(*) > 1')).join('busy', 'busy.person_id', 'p.id').select('p.id')`,
  ],
  ['raw that ends with a semicolon', `db.raw('select id from people;\\n')`],
  ['a Date that is the same each time', `db('people').where('born', '<', new Date('2024-05-01Z'))`],
  [
    'columns and conditions',
    `db('people').select('name', 'team').whereNotNull('team').whereBetween('n', [1, 4])`,
  ],
  ['an alias', `db('people as p').select('p.name', { who: 'p.id' }).where('p.n', '>', 2)`],
  [
    'or in groups',
    `db('people').where((q) => q.where('n', 1).orWhere('n', 2)).andWhereNot((q) => q.where('team', 3).orWhereNull('team'))`,
  ],
  [
    'raw fragments with named bindings',
    `db('people').select('id').whereRaw('n = :n or team = :team', { n: 3, team: 4 })`,
  ],
  ['arrays', `db('people').whereRaw('? = any (tags)', ['t1'])`],
  [
    'a subquery with limit',
    `db('people').select('id').where('id', '>', db('notes').max('person_id').limit(1)).orWhere('n', 2)`,
  ],
  [
    'an inner join without the key',
    `db('people as p').join('teams as t', 't.id', 'p.team').select('t.name')`,
  ],
  [
    'a join with conditions',
    `db('people as p').join('teams as t', (j) => j.on('t.id', 'p.team').andOnVal('t.kind', 'even')).select('p.id')`,
  ],
  ['a schema in the name', `db('Other.Things').select('v').where('a', '<', 5)`, things],
  [
    'a materialized CTE in where',
    `db('people').withMaterialized('few', db('teams').select('id').where('kind', 'odd')).whereIn('team', db('few').select('id'))`,
  ],
  ['withSchema', `db('Things').withSchema('Other').where('a', 3).orWhere('v', '<', 20)`, things],
  ['a partition by name', `db('events_1').where('v', '>', 20)`, 'events'],
  ['raw that ends with a comment', `db.raw('select id from people -- limit 5')`],
  [
    'raw with named bindings',
    `db.raw('select :col: as x, id from people where n > :n', { col: 'name', n: 3 })`,
  ],
  [
    'raw from a subquery',
    `db.raw('select s.* from (select id, name from people where n < 4) as s where s.id > 20')`,
  ],
  ['fromRaw', `db.select('id').fromRaw('people tablesample system (100)').where('n', '>', 1)`],
  [
    'a left join for what is not there',
    `db('people as p').leftJoin('notes as o', 'o.person_id', 'p.id').whereNull('o.id').select('p.id')`,
  ],
  ['raw with a left join', `db.raw('select p.id, t.name from people p left join teams t on t.id = p.team')`],
];
