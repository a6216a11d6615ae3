import type { BaseTable } from './key.ts';
import type { Keys } from './key-list.ts';
import {
  type Statement,
  after,
  asText,
  below,
  comparedColumns,
  oneOf,
  operator,
  orderBy,
  partOf,
  tableName,
  upTo,
  within,
} from './key-sql.ts';

/** What is asked of the base table alone, whatever the author selects of it. */

type Key = readonly string[];

// Of a random key it is about 0, of one that only grows 1.
const mostCorrelated = 0.3;

/** All comparisons of keys in one statement, with `key` or nulls: what cannot be compared shows in its EXPLAIN. */
export function comparisons(base: BaseTable, key: Key | null): Statement {
  const chosen = oneOf('t', base.key, key === null ? [] : [key], base.key.length + 1);
  const bounds = `${after('t', base.key, 1)} and ${upTo('t', base.key, 1)}`;
  return {
    text: `select from ${tableName(base)} as t where ${bounds} and ${chosen.text}`,
    values: [...(key ?? base.key.map(() => null)), ...chosen.values],
  };
}

/** The largest key of the table: no row, or one with `key text[]`. */
export function maxKey(base: BaseTable): Statement {
  const text = `select ${asText('t', base.key)} as key from ${tableName(base)} as t order by ${orderBy('t', base.key, 'desc')} limit 1`;
  return { text, values: [] };
}

/** The key of the base row that `offset` others of the range precede: no row, or one with `key text[]`. */
export function keyAtOffset(base: BaseTable, from: Key | null, to: Key, offset: number): Statement {
  const range = within('t', base.key, { after: from, upTo: to }, 1);
  return {
    text: `select ${asText('t', base.key)} as key from ${tableName(base)} as t
      where ${range.text}
      order by ${orderBy('t', base.key)}
      offset $${range.values.length + 1}::pg_catalog.int8 limit 1`,
    values: [...range.values, offset],
  };
}

/** The key of the `limit`-th base row of a range, whatever the author selects: no row where it has fewer. */
export function upperKey(base: BaseTable, from: Key | null, to: Key, limit: number): Statement {
  return keyAtOffset(base, from, to, limit - 1);
}

/**
 * Keys of the table, so far apart from each other that `every` rows of a sample lie between two: one row with `keys`, the
 * text of an array in their order, or null where there are none or rows lie in the order of their keys, which a
 * sample of blocks says little about. `percent` of the blocks are read. For a key of one column.
 */
export function sampledKeys(base: BaseTable, percent: number, every: number): Statement {
  const name = orderBy('t', base.key);
  return {
    text: `select pg_catalog.array_agg(sampled.key::pg_catalog.text order by sampled.n)::pg_catalog.text as keys,
             pg_catalog.count(*) as count
      from (
        select ${name} as key, pg_catalog.row_number() over (order by ${name}) as n
        from ${tableName(base)} as t tablesample system ($4::pg_catalog.float4)
        where (select pg_catalog.bool_and(pg_catalog.abs(s.correlation) operator(pg_catalog.<) ${mostCorrelated}::pg_catalog.float4)
               from pg_catalog.pg_stats as s
               where s.schemaname operator(pg_catalog.=) $1::pg_catalog.name and s.tablename operator(pg_catalog.=) $2::pg_catalog.name
                 and s.attname operator(pg_catalog.=) $3::pg_catalog.name)
      ) as sampled
      where sampled.n operator(pg_catalog.%) $5::pg_catalog.int8 operator(pg_catalog.=) 0`,
    values: [base.schema, base.name, base.key[0]?.name, percent, every],
  };
}

/** The `count`-th of `keys`, the text of an array, inside of a range: no row where it has fewer, or one with `key`. */
export function nthOfKeys(
  base: BaseTable,
  keys: string,
  from: Key | null,
  to: Key,
  count: number,
): Statement {
  const key = base.key.map((column) => ({ ...column, name: 'key' }));
  const isBehind = from === null ? 'true' : after('m', key, 4);
  return {
    text: `select array[m.key::pg_catalog.text] as key
      from pg_catalog.unnest($1::${key[0]?.type}[]) as m (key)
      where ${isBehind} and ${below('m', key, 3)}
      order by m.key
      offset $2::pg_catalog.int8 limit 1`,
    values: [keys, count - 1, ...to, ...(from ?? [])],
  };
}

/** How many of the keys still exist: one row with `count`. */
export function countKeys(base: BaseTable, keys: Keys): Statement {
  const chosen = oneOf('t', base.key, keys, 1);
  const text = `select pg_catalog.count(*) as count from ${tableName(base)} as t where ${chosen.text}`;
  return { text, values: chosen.values };
}

/**
 * At most `count` existing keys below `stopKey` that cut the table into about equal parts: rows of
 * `key text[]`, strictly increasing. None without statistics.
 */
export function layoutBounds(base: BaseTable, stopKey: Key, count: number): Statement {
  const [first] = base.key;
  if (first === undefined) throw new Error('a key has at least one column');
  const leading = comparedColumns('t', [first]);
  return {
    text: `select cut.key
      from (
        select snapped.key, snapped.key is distinct from pg_catalog.lag(snapped.key) over (order by i) as is_new, i
        from (${histogram(base)}) as histogram
        cross join pg_catalog.generate_series(1, $4::pg_catalog.int4) as i
        cross join lateral (
          select ${asText('t', base.key)} as key from ${tableName(base)} as t
          where ${leading} ${operator(first, '<=')} bounds[
              1 + i * (pg_catalog.cardinality(bounds) - 1) / ($4::pg_catalog.int4 + 1)]::${first.type}
            and ${below('t', base.key, 5)}
          order by ${orderBy('t', base.key, 'desc')}
          limit 1
        ) as snapped
      ) as cut
      where cut.is_new
      order by cut.i`,
    values: [base.schema, base.name, first.name, count, ...stopKey],
  };
}

/**
 * An existing key about in the middle of a range, by the planner's histogram, strictly inside of it: no row where
 * that has no bound in it, or one with `key text[]`. As quick for a range of a billion keys as for a small one.
 */
export function middleKey(base: BaseTable, from: Key | null, to: Key): Statement {
  const [first] = base.key;
  if (first === undefined) throw new Error('a key has at least one column');
  const bound = partOf('array[given.bound]', first, 0, base);
  const range = within('t', base.key, { after: from, upTo: to }, 4);
  const end = `$${4 + (from?.length ?? 0)}::${first.type}`;
  const isBehind = from === null ? 'true' : `${bound} ${operator(first, '>')} $4::${first.type}`;
  return {
    text: `select ${asText('t', base.key)} as key from ${tableName(base)} as t
      where ${comparedColumns('t', [first])} ${operator(first, '<=')} (
          select inside.bound::${first.type}
          from (
            select given.bound, pg_catalog.row_number() over (order by given.i) as n, pg_catalog.count(*) over () as count
            from (${histogram(base)}) as histogram
            cross join lateral pg_catalog.unnest(histogram.bounds) with ordinality as given (bound, i)
            where ${isBehind} and ${bound} ${operator(first, '<')} ${end}
          ) as inside
          where inside.n = (inside.count + 1) / 2)
        and ${range.text}
      order by ${orderBy('t', base.key, 'desc')}
      limit 1`,
    values: [base.schema, base.name, first.name, ...range.values],
  };
}

/** The bounds that ANALYZE has found for a column, as text; the placeholders 1 to 3 name it. */
function histogram(base: BaseTable): string {
  return `select s.histogram_bounds::pg_catalog.text::pg_catalog.text[] as bounds
          from pg_catalog.pg_stats as s
          where s.schemaname = $1 and s.tablename = $2 and s.attname = $3
          order by s.inherited${base.only === true ? '' : ' desc'} -- with children there are two rows
          limit 1`;
}
