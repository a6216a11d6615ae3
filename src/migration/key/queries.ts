import { type BaseTable, type Key, isKeyless, namedAs } from './key.ts';
import { type Keys, byColumn } from './list.ts';
import {
  type KeyRange,
  type Statement,
  after,
  asText,
  below,
  columnOf,
  isPlaced,
  oneOf,
  oneOfUpdated,
  orderBy,
  placeNow,
  tableName,
  upTo,
  within,
} from './sql.ts';

/** What is asked of the base table alone, whatever the author selects of it. */

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
  if (isKeyless(base)) return lastPlace(base);
  const text = `select ${asText('t', base.key)} as key from ${tableName(base)} as t where ${isPlaced('t', base)} order by ${orderBy('t', base.key, 'desc')} limit 1`;
  return { text, values: [] };
}

/** The last key of the table whose first columns come before these values, or up to them: no row, or one with `key text[]`. */
export function lastKeyBy(base: BaseTable, values: readonly string[], how: 'before' | 'upTo'): Statement {
  const condition = (how === 'before' ? below : upTo)('t', base.key.slice(0, values.length), 1);
  return {
    text: `select ${asText('t', base.key)} as key from ${tableName(base)} as t
      where ${condition} and ${isPlaced('t', base)}
      order by ${orderBy('t', base.key, 'desc')} limit 1`,
    values,
  };
}

/** The place behind all rows of the table: no row where it has no block, or one with `key text[]` and its `blocks`. */
export function lastPlace({ oid }: BaseTable): Statement {
  return {
    text: `select array[pg_catalog.format('(%s,65535)', blocks operator(pg_catalog.-) 1)] as key, blocks
      from (select pg_catalog.pg_relation_size($1::pg_catalog.oid)
                   operator(pg_catalog./) pg_catalog.current_setting('block_size')::pg_catalog.int8) as sized (blocks)
      where blocks operator(pg_catalog.>) 0`,
    values: [oid],
  };
}

/** The key of the base row that `offset` others of the range precede: no row, or one with `key text[]`. */
export function keyAtOffset(base: BaseTable, from: Key | null, to: Key, offset: number): Statement {
  const range = within('t', base.key, { after: from, upTo: to }, 1);
  const columns = base.key.map((column, index) => `${columnOf('t', column)} as k${index}`).join(', ');
  const named = base.key.map((column, index) => namedAs(column, `k${index}`));
  // What the keys of the rows that are passed over look like as texts takes longer than passing them over.
  return {
    text: `select ${asText('found', named)} as key from (
        select ${columns} from ${tableName(base)} as t
        where ${range.text} and ${isPlaced('t', base)}
        order by ${orderBy('t', base.key)}
        offset $${range.values.length + 1}::pg_catalog.int8 limit 1) as found`,
    values: [...range.values, offset],
  };
}

/** The key of the `limit`-th base row of a range, whatever the author selects: no row where it has fewer. */
export function upperKey(base: BaseTable, from: Key | null, to: Key, limit: number): Statement {
  return keyAtOffset(base, from, to, limit - 1);
}

/** The keys of a list, as rows of `k0`, `k1` … with their number `no` from 1 on; the placeholders begin at `first`. */
function listed(base: BaseTable, keys: Keys, first: number): Statement & { readonly key: BaseTable['key'] } {
  const lists = base.key.map((_, index) => `pg_catalog.unnest($${first + index}::pg_catalog.text[])`);
  const names = base.key.map((_, index) => `k${index}`).join(', ');
  const typed = base.key.map((column, index) => {
    const value = `given.k${index}::${column.type}`;
    if (column.collation === '0') return `${value} as k${index}`;
    const own = `select ${columnOf('t', column)} from ${tableName(base)} as t where false`;
    return `coalesce((${own}), ${value}) as k${index}`;
  });
  return {
    text: `(select ${typed.join(', ')}, given.no
            from rows from (${lists.join(', ')}) with ordinality as given (${names}, no)) as m`,
    values: byColumn(keys, base.key.length),
    key: base.key.map((column, index) => namedAs(column, `k${index}`)),
  };
}

/** The `count`-th of `keys`, which are in order, inside of a range: no row where it has fewer, or one with `key` and `no`. */
export function nthOfKeys(base: BaseTable, keys: Keys, range: KeyRange, count: number): Statement {
  const width = base.key.length;
  const { text, values, key } = listed(base, keys, 1);
  const isBehind = range.after === null ? 'true' : after('m', key, 2 + 2 * width);
  return {
    text: `select ${asText('m', key)} as key, m.no from ${text}
      where ${isBehind} and ${below('m', key, 1 + width)}
      order by m.no
      offset $${1 + 2 * width}::pg_catalog.int8 limit 1`,
    values: [...values, ...range.upTo, count - 1, ...(range.after ?? [])],
  };
}

/** How many of `keys` come before the key `to`, or are the same, as an expression; the placeholders begin at `first`. */
export function countUpTo(base: BaseTable, keys: Keys, to: Key, first: number): Statement {
  const { text, values, key } = listed(base, keys, first);
  const isUpTo = upTo('m', key, first + base.key.length);
  return { text: `(select pg_catalog.count(*) from ${text} where ${isUpTo})`, values: [...values, ...to] };
}

/** All behind the `from` of the rows `t` that had these keys before an update in this transaction; `key`: the one it had. */
export function rowsUpdated(base: BaseTable, keys: Keys): Statement & { readonly key: string } {
  const chosen = oneOf('t', base.key, keys, 1);
  if (!isKeyless(base)) {
    const text = `${tableName(base)} as t where ${chosen.text} order by ${orderBy('t', base.key)}`;
    return { text, values: chosen.values, key: asText('t', base.key) };
  }
  const places = `select was, ${placeNow(base, 'was')} as now from pg_catalog.unnest($1::pg_catalog.tid[]) as given (was)`;
  return {
    text: `(${places}) as moved
      join ${tableName(base)} as t on ${orderBy('t', base.key)} operator(pg_catalog.=) moved.now order by moved.was`,
    values: chosen.values,
    key: 'array[moved.was::pg_catalog.text]',
  };
}

/** How many of the keys still exist after an update: one row with `count`. */
export function countKeys(base: BaseTable, keys: Keys): Statement {
  const chosen = oneOfUpdated('t', base, keys, 1);
  const text = `select pg_catalog.count(*) as count from ${tableName(base)} as t where ${chosen.text}`;
  return { text, values: chosen.values };
}
