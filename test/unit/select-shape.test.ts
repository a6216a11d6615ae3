import knex, { type Knex } from 'knex';
import { describe, expect, it } from 'vitest';
import { UmzugClusterError } from '../../src/errors.ts';
import { refuseOtherKnex } from '../../src/migration/select/result.ts';
import { type SelectShape, groupWhere, hasColumns, inspectSelect } from '../../src/migration/select/shape.ts';

const db = knex({ client: 'pg' });
const inspect = (query: unknown) => inspectSelect(query, '0001_x.ts');

/** What is said of a select that begins with a table by name. */
function inspectTable(query: unknown): SelectShape {
  const shape = inspect(query);
  if (shape.kind !== 'table') throw new Error('begins with no table by name');
  return shape;
}

/** The message of a refusal; fails where there is none. */
function refusal(query: unknown): string {
  try {
    inspect(query);
  } catch (error) {
    expect(error).toBeInstanceOf(UmzugClusterError);
    expect((error as UmzugClusterError).code).toBe('SELECT_REFUSED');
    return (error as UmzugClusterError).message;
  }
  throw new Error('was not refused');
}

describe('the base table of a select', () => {
  it.each<[string, Knex.QueryBuilder, object]>([
    ["db('t')", db('t'), { schema: null, name: 't', alias: 't' }],
    ["db('t as a')", db('t as a'), { schema: null, name: 't', alias: 'a' }],
    ["db('t AS a')", db('t AS a'), { schema: null, name: 't', alias: 'a' }],
    ["db({ a: 't' })", db({ a: 't' }), { schema: null, name: 't', alias: 'a' }],
    ["db('s.t')", db('s.t'), { schema: 's', name: 't', alias: 't' }],
    ["db('s.t as a')", db('s.t as a'), { schema: 's', name: 't', alias: 'a' }],
    ["withSchema('s')", db('t as a').withSchema('s'), { schema: 's', name: 't', alias: 'a' }],
    ['{ only: true }', db('t as a', { only: true }), { schema: null, name: 't', alias: 'a', only: true }],
    ['a quote in the name', db('we"ird'), { schema: null, name: 'we"ird', alias: 'we"ird' }],
  ])('is read from %s', (_written, query, table) => {
    expect(inspectTable(query).table).toEqual({ only: false, ...table });
  });

  it('has the name that the application gives it in wrapIdentifier', () => {
    const snake = knex({
      client: 'pg',
      wrapIdentifier: (name, wrap) => wrap(name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)),
    });
    const { table } = inspectTable(snake('userAccounts as theAccounts'));
    expect(table).toMatchObject({ schema: null, name: 'user_accounts', alias: 'the_accounts' });
  });
});

function ran(): never {
  throw new Error('was run');
}

/** What runs when it is awaited, as a query does. */
function lazy(members: object): object {
  // oxlint-disable-next-line no-thenable
  return Object.defineProperty(members, 'then', { value: ran });
}

describe('what another library returns for a query is refused, not run, and told what to write:', () => {
  const knexQuery = /db\('people'\)\.where/;
  it.each<[string, object, RegExp]>([
    ['an Objection model', lazy({ toKnexQuery: ran }), /Model\.query\(db\)\.toKnexQuery\(\)/],
    ['MikroORM', lazy({ getKnexQuery: ran }), knexQuery],
    ['Kysely', { toOperationNode: ran, compile: ran }, /query\.compile\(\)/],
    ['Drizzle', lazy({ getSQL: ran, toSQL: ran }), /query\.toSQL\(\)/],
    ['TypeORM', { getQueryAndParameters: ran }, /return \{ sql, params \}/],
    ['Prisma', lazy({ [Symbol.toStringTag]: 'PrismaPromise' }), knexQuery],
  ])('a query of %s', (library, query, hint) => {
    expect(() => inspect(query)).toThrow(
      expect.objectContaining({
        code: 'SELECT_REFUSED',
        message: `0001_x.ts: select returned a query of ${library}, not of knex`,
        hint: expect.stringMatching(hint) as string,
      }) as Error,
    );
  });

  it('the rows that a model of Sequelize finds', () => {
    expect(() => inspect(Promise.resolve([]))).toThrow(
      expect.objectContaining({
        hint: expect.stringMatching(/Sequelize.*db\('people'\)/) as string,
      }) as Error,
    );
  });

  it('a query of another knex, whose writes would go over its own connection', () => {
    const other = knex({ client: 'pg' });
    expect(() => refuseOtherKnex(other('people'), db, '0001_x.ts')).toThrow(/another knex instance/);
    for (const mine of [db('people'), db.raw('select 1'), null]) {
      expect(() => refuseOtherKnex(mine, db, '0001_x.ts')).not.toThrow();
    }
  });
});

describe('a select is refused', () => {
  it.each<[string, unknown, RegExp]>([
    ['undefined', undefined, /select returned undefined; return the knex query/],
    ['null', null, /select returned null/],
    ['a promise of rows', Promise.resolve([]), /must return the query, not its result: remove await/],
    ['an object with a schema', db({ a: 't' }).withSchema('s'), /cannot combine withSchema/],
    ['rows', [{ id: 1 }], /must return the query, not its result: remove await/],
    ['a number', 5, /select returned a number/],
    ['a change of a table', db.schema.dropTable('t'), /did not return a query for rows/],
    ['a function', () => db('t'), /select returned a function/],
    ['update', db('t').update({ a: 1 }), /it is a query to update/],
    ['insert', db('t').insert({ a: 1 }), /it is a query to insert/],
    ['delete', db('t').delete(), /it is a query to delete/],
    ['first', db('t').first(), /must not use first/],
    ['pluck', db('t').pluck('id'), /must not use pluck/],
    ['limit', db('t').limit(5), /must not use limit: umzug-cluster does the chunking/],
    ['limit 0', db('t').limit(0), /must not use limit/],
    ['offset', db('t').offset(5), /must not use offset/],
    ['group by of a join', db('t').join('u', 't.a', 'u.a').groupBy('t.a'), /must not use group by/],
    ['group by of a subquery', db('t').groupBy('a').whereIn('b', db('u').select('b')), /must not group/],
    ['having', db('t').having('a', '>', 1), /must not use having/],
    ['distinct of all columns', db('t').distinct(), /must not use distinct/],
    ['distinct of columns besides', db('t').distinct('a').select('b'), /must not use distinct/],
    ['distinct in groups', db('t').distinct('a').groupBy('a', 'b'), /must not use distinct/],
    ['raw distinct', db('t').select(db.raw('distinct a')), /must not use distinct/],
    ['union', db('t').union(db('u')), /must not use union/],
    ['count', db('t').count(), /must not use an aggregate \(count\)/],
    ['sum', db('t').sum('a'), /must not use an aggregate \(sum\)/],
    ['countDistinct', db('t').countDistinct('a'), /must not use an aggregate/],
    ['raw aggregate', db('t').select(db.raw('max(a)')), /must not use an aggregate \(max\)/],
    ['for update', db('t').forUpdate(), /must not lock/],
    ['for share', db('t').forShare(), /must not lock/],
    ['right join', db('t').rightJoin('u', 't.id', 'u.id'), /right or full join/],
    ['full join', db('t').fullOuterJoin('u', 't.id', 'u.id'), /right or full join/],
    ['raw right join', db('t').joinRaw('right join u on true'), /right or full join/],
    ['raw full join', db('t').joinRaw('natural full join u'), /right or full join/],
    ['a window function', db('t').select('a', db.raw('row_number() over (order by a)')), /window function/],
    ['a named window', db('t').select(db.raw('sum(a) over w')).joinRaw('window w as ()'), /window function/],
    ["knex's window function", db('t').rowNumber('n', 'a'), /window function/],
    ['a limit in a fragment', db('t').whereRaw('true limit 5'), /must not use limit/],
    ['a fetch in a fragment', db('t').joinRaw('fetch first 5 rows only'), /must not use limit/],
    ['an offset in a fragment', db('t').whereRaw('true offset 5'), /must not use offset/],
    ['a group in a fragment', db('t').whereRaw('true group by a'), /must not use group by/],
    ['a union in a fragment', db('t').whereRaw('true union all select 1'), /must not use union/],
    ['a lock in a fragment', db('t').whereRaw('true for no key update'), /must not lock/],
    ['an aggregate behind others', db('t').select(db.raw('a, string_agg(b, ?)', [','])), /\(string_agg\)/],
    ['no table', db.select('a'), /names no table/],
    ['an unknown operator', db('t').where('a', '=>', 1), /cannot be compiled/],
    ['an undefined value', db('t').where('a', undefined as never), /cannot be compiled/],
  ])('that is %s', (_what, query, message) => {
    expect(refusal(query)).toMatch(message);
    expect(refusal(query)).toContain('0001_x.ts');
  });
});

describe('a select groups the rows of its table', () => {
  it.each<[string, Knex.QueryBuilder, object]>([
    ['group by', db('t').select('a').count().groupBy('a'), { columns: ['a'] }],
    ['group by, twice', db('t as x').groupBy('x.a').groupBy('b'), { columns: ['a', 'b'] }],
    ['distinct, renamed', db('t').distinct('a as c', 't.b'), { columns: ['a', 'b'] }],
    [
      'distinct on',
      db('t').distinctOn('a').select('b').orderBy(['a', 'b']),
      { columns: ['a'], isOrdered: true },
    ],
    ['not null', db('t').distinct('a').whereNotNull('t.a'), { columns: ['a'], notNull: ['a'] }],
    ['not null, or not', db('t').distinct('a').whereNotNull('a').orWhere('b', 1), { columns: ['a'] }],
    ['null', db('t').distinct('a').whereNull('a'), { columns: ['a'] }],
  ])('by columns: %s', (_what, query, groups) => {
    expect(inspectTable(query).groups).toEqual({
      expressions: [],
      notNull: [],
      conditions: [],
      isOrdered: false,
      ...groups,
    });
  });

  it.each([
    ['group by', db('t').groupByRaw('lower(a), b'), ['lower(a), b'], []],
    ['group by, of a query', db('t').groupBy(db.raw('lower(??)', ['a'])), ['lower("a")'], []],
    ['distinct, renamed', db('t').distinct(db.raw('lower(a) as "b"')), ['lower(a)'], []],
    [
      'distinct on, not null',
      db('t')
        .distinctOn(db.raw('lower(a)') as never)
        .whereNotNull(db.raw('lower(a)') as never)
        .whereRaw('n > 1'),
      ['lower(a)'],
      ['(lower(a)) is not null', 'n > 1'],
    ],
  ])('by expressions: %s', (_what, query, expressions, conditions) => {
    const { groups } = inspectTable(query);
    const sqlOf = (raws: readonly Knex.Raw[] = []): readonly string[] => raws.map((raw) => raw.toSQL().sql);
    expect(groups).toMatchObject({ columns: [] });
    expect(sqlOf(groups?.expressions)).toEqual(expressions);
    expect(sqlOf(groups?.conditions)).toEqual(conditions);
  });

  it('keeps the order by which distinct on finds the first row, and no other', () => {
    const ordered = inspectTable(db('t').distinctOn('a').orderBy('a'));
    expect(ordered.builder.toSQL().sql).toContain('order by');
    expect(ordered.warnings).toEqual([]);
    expect(inspectTable(db('t').distinct('a').orderBy('a')).builder.toSQL().sql).not.toContain('order by');
  });
});

describe('a raw select is refused', () => {
  it.each<[string, string, RegExp]>([
    ['limit', 'select id from t limit 5', /must not use limit: umzug-cluster does the chunking/],
    ['fetch', 'select id from t fetch next row only', /must not use limit/],
    ['offset', 'select id from t offset 5', /must not use offset/],
    ['group by', 'select id from t group by id', /must not use group by/],
    ['having', 'select id from t having true', /must not use having/],
    ['distinct', 'SELECT DISTINCT id FROM t', /must not use distinct/],
    ['distinct on', 'select distinct on (id) id from t', /must not use distinct/],
    ['union', 'select id from t union all select id from u', /must not use union/],
    ['intersect', '(select id from t) intersect (select id from u)', /must not use union/],
    ['an aggregate', 'select max(id) from t', /must not use an aggregate \(max\)/],
    ['a window', 'select id, rank () over (order by a) from t', /window function/],
    ['for share', 'select id from t for share', /must not lock/],
    ['an update', 'update t set a = 1 returning id', /must not write/],
    ['a delete', ' /* x */ delete from t', /must not write/],
    ['wrong bindings', 'select id from t where a = ? and b = ?', /cannot be compiled/],
  ])('with %s', (_what, sql, message) => {
    expect(refusal(sql.includes('?') ? db.raw(sql, [1]) : db.raw(sql))).toMatch(message);
  });
});

describe('a select that begins with no table by name is taken as it stands', () => {
  const cte = 'with x as (select a, count(*) over () from u group by a limit 1)';
  it.each<[string, unknown]>([
    ['raw', db.raw('select id from t')],
    [
      'raw with words in texts and names',
      db.raw(`select 'limit 1', "offset", E'\\' for update' from t -- union`),
    ],
    ['raw with clauses in parentheses', db.raw(`${cte} select id from t join x using (a)`)],
    ['from raw', db.from(db.raw('t'))],
    ['a subquery', db.from(db('t').as('s'))],
    ['two tables', db({ a: 't', b: 'u' })],
  ])('%s', (_what, query) => {
    expect(inspect(query)).toMatchObject({ kind: 'whole', warnings: [] });
  });

  it('warns of an order, which a raw one keeps', () => {
    const { warnings } = inspect(db.raw('select id from t order by id'));
    expect(warnings).toEqual([expect.stringMatching(/order by is ignored/)]);
  });
});

describe('a promise that fails', () => {
  it('is refused like any other, and its failure is not an unhandled one', () => {
    expect(refusal(Promise.reject(new Error('no')))).toMatch(/remove await/);
  });
});

describe('a select is plain', () => {
  it.each<[string, Knex.QueryBuilder]>([
    ['one table', db('t').select('a').where('b', 1).orWhere('c', 2)],
    ['raw columns', db('t').select(db.raw('upper(a)'))],
    ['the word in a string or a name', db('select').where(db.raw("a = 'select over'"))],
  ])('with %s', (_what, query) => {
    expect(inspectTable(query).plain).toBe(true);
  });

  it.each<[string, Knex.QueryBuilder]>([
    ['a join', db('t').join('u', 't.id', 'u.id')],
    ['a CTE', db('t').with('x', db('u'))],
    ['a subquery in where', db('t').whereIn('id', db('u').select('id'))],
    ['a subquery in a group', db('t').where((group) => void group.whereExists(db('u')))],
    ['a raw subquery', db('t').whereRaw('exists (select from u)')],
    ['a subquery as a column', db('t').select('a', db('u').max('b').as('b'))],
  ])('but not with %s', (_what, query) => {
    expect(inspectTable(query).plain).toBe(false);
  });
});

describe('a checked select', () => {
  it('drops order by with a warning, and leaves the author’s query as it was', () => {
    const query = db('t').orderBy('a').orderByRaw('b desc');
    const { builder, warnings } = inspectTable(query);
    expect(warnings).toEqual([expect.stringContaining('order by is ignored')]);
    expect(builder.toString()).toBe('select * from "t"');
    expect(query.toString()).toBe('select * from "t" order by "a" asc, b desc');
    expect(inspect(db('t')).warnings).toEqual([]);
  });

  it('gets its conditions grouped, so that a further one holds for all of them', () => {
    const query = db('t').where('a', 1).orWhereNot('b', 2).orWhereRaw('c = ?', [3]);
    const grouped = groupWhere(query).andWhere('d', 4);
    expect(grouped.toString()).toBe(`select * from "t" where ("a" = 1 or not "b" = 2 or c = 3) and "d" = 4`);
    expect(groupWhere(db('t')).andWhere('d', 4).toString()).toBe('select * from "t" where "d" = 4');
    expect(query.toString()).toBe(`select * from "t" where "a" = 1 or not "b" = 2 or c = 3`);
  });

  it('knows whether it names columns', () => {
    expect(hasColumns(db('t'))).toBe(false);
    expect(hasColumns(db('t').select())).toBe(false);
    expect(hasColumns(db('t').select('a'))).toBe(true);
    expect(hasColumns(db('t').rowNumber('n', 'a'))).toBe(true);
  });
});
