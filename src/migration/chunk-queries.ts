import type { Knex } from 'knex';
import { parseTextArray } from '../postgres/parsers.ts';
import type { BaseTable } from './key.ts';
import {
  type KeyRange,
  type Statement,
  after,
  asText,
  below,
  comparedColumns,
  oneOf,
  oneOfQuery,
  operator,
  orderBy,
  quote,
  tableName,
  upTo,
  within,
} from './key-sql.ts';
import { escapeMarks, toMarks } from './marks.ts';
import { type SelectShape, groupWhere, hasColumns } from './select-shape.ts';

/**
 * The author's `select` turned into the statements of a chunk. Hidden columns are raw fragments, so that an
 * application's `wrapIdentifier` does not rename them, and `splitRows` takes them off before its
 * `postProcessResponse` sees the rows.
 */

type Key = readonly string[];
type Query = Knex.QueryBuilder;

const keyText = '__umzug_key';
const keyColumn = (index: number): string => `__umzug_k${index}`;

/** A range, and the most rows to take from it. */
export interface ChunkRange extends KeyRange {
  readonly limit: number;
}

/**
 * Locks and reads the next rows of a plain select, in key order: one statement. The range is a condition
 * of the author's own query, so that the planner walks the key's index and stops at the limit.
 */
export function lockedChunk(shape: SelectShape, base: BaseTable, range: ChunkRange): Statement {
  const { alias } = shape.table;
  const query = restrict(withKeyText(shape, base), within(alias, base.key, range, 1));
  query.orderByRaw(raw(query, orderBy(alias, base.key))).limit(range.limit);
  const { text, values } = native(query);
  return { text: `${text} for no key update of ${quote(alias)}`, values };
}

/** Keys of the next rows of any select, in key order, each once: rows of `key text[]`. Locks nothing. */
export function pickKeys(shape: SelectShape, base: BaseTable, range: ChunkRange): Statement {
  const { alias } = shape.table;
  const query = restrict(groupWhere(shape.builder).clearSelect(), within(alias, base.key, range, 1));
  selectKeyColumns(query, alias, base);
  const { text, values } = native(query);
  const names = base.key.map((_, index) => quote(keyColumn(index))).join(', ');
  const texts = base.key.map((_, index) => `${quote(keyColumn(index))}::pg_catalog.text`).join(', ');
  return {
    text: `select array[${texts}] as key
      from (select distinct ${names} from (${text}) as matching
            order by ${names} limit $${values.length + 1}::pg_catalog.int8) as picked
      order by ${names}`,
    values: [...values, range.limit],
  };
}

/** Locks the base rows of `keys` in key order; rows of `key text[]` for those that still exist. */
export function lockKeys(base: BaseTable, keys: readonly Key[]): Statement {
  const chosen = oneOf('t', base.key, keys, 1);
  return {
    text: `select ${asText('t', base.key)} as key from ${tableName(base)} as t
      where ${chosen.text}
      order by ${orderBy('t', base.key)}
      for no key update of t`,
    values: chosen.values,
  };
}

/** The author's rows of exactly these base rows, in key order; for `splitRows`. */
export function rowsByKeys(shape: SelectShape, base: BaseTable, keys: readonly Key[]): Statement {
  const query = withKeyText(shape, base);
  selectKeyColumns(query, shape.table.alias, base);
  const { text, values } = native(query);
  // Around the author's query, not inside: a window function sees the same rows in every chunk.
  const key = base.key.map((column, index) => ({ ...column, name: keyColumn(index) }));
  const chosen = oneOf('s', key, keys, values.length + 1);
  return {
    text: `select s.* from (${text}) as s where ${chosen.text} order by ${orderBy('s', key)}`,
    values: [...values, ...chosen.values],
  };
}

/** Takes the hidden columns off the rows, in place, and returns the rows with their keys. */
export function splitRows(
  rows: readonly object[],
  base: BaseTable,
): { readonly rows: object[]; readonly keys: Key[] } {
  const hidden = base.key.map((_, index) => keyColumn(index)).reverse();
  const keys = rows.map((row) => {
    const fields = row as Record<string, unknown>;
    const key = fields[keyText];
    // Last column first: V8 keeps an object fast only where its last property is deleted.
    for (const name of hidden) if (name in fields) delete fields[name];
    delete fields[keyText];
    return (Array.isArray(key) ? key : parseTextArray(String(key))) as Key;
  });
  return { rows: [...rows], keys };
}

/** The author's query on one range, ready for `.update()` or `.delete()`. */
export function setBasedChunk(shape: SelectShape, base: BaseTable, db: Knex, range: KeyRange): Query {
  const { alias } = shape.table;
  const rangeOfKeys = within(alias, base.key, range, 1);
  const query = restrict(groupWhere(shape.builder).clearSelect(), rangeOfKeys);
  if (shape.plain) return query;
  const inner = query.select(raw(query, comparedColumns(alias, base.key))).toSQL();
  const [before, behind] = oneOfQuery(alias, base.key);
  const table = db.raw(escapeMarks(`${tableName(base)} as ${quote(alias)}`));
  return db(table as unknown as string).whereRaw(
    `${escapeMarks(before)}${inner.sql}${escapeMarks(behind)}`,
    inner.bindings as Knex.RawBinding[],
  ) as Query;
}

/** SQL with `?` marks and its bindings, for hashing and for EXPLAIN; the same on every host. */
export function compiled(shape: SelectShape): {
  readonly sql: string;
  readonly bindings: readonly unknown[];
} {
  const { sql, bindings } = shape.builder.toSQL();
  return { sql, bindings };
}

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

/** How many of the keys still exist: one row with `count`. */
export function countKeys(base: BaseTable, keys: readonly Key[]): Statement {
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
        from (
          select s.histogram_bounds::pg_catalog.text::pg_catalog.text[] as bounds
          from pg_catalog.pg_stats as s
          where s.schemaname = $1 and s.tablename = $2 and s.attname = $3
          order by s.inherited${base.only === true ? '' : ' desc'} -- with children there are two rows
          limit 1
        ) as histogram
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

function withKeyText(shape: SelectShape, base: BaseTable): Query {
  const query = groupWhere(shape.builder);
  if (!hasColumns(query)) query.select(raw(query, '*'));
  return query.select(raw(query, `${asText(shape.table.alias, base.key)} as ${quote(keyText)}`));
}

function selectKeyColumns(query: Query, alias: string, base: BaseTable): void {
  for (const [index, column] of base.key.entries()) {
    query.select(raw(query, `${quote(alias)}.${quote(column.name)} as ${quote(keyColumn(index))}`));
  }
}

function restrict(query: Query, condition: Statement): Query {
  return query.andWhere(raw(query, condition.text, condition.values));
}

function raw(query: Query, text: string, values: readonly unknown[] = []): Knex.Raw {
  const { client } = query as unknown as { client: Pick<Knex, 'raw'> };
  const { sql, bindings } = toMarks(text, values);
  return client.raw(sql, [...bindings] as Knex.RawBinding[]);
}

function native(query: Query): Statement {
  const { sql, bindings } = query.toSQL().toNative();
  return { text: sql, values: bindings };
}
