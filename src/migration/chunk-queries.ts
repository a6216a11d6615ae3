import type { Knex } from 'knex';
import { parseTextArray } from '../postgres/parsers.ts';
import type { BaseTable } from './key.ts';
import {
  type KeyRange,
  type Statement,
  asText,
  below,
  oneOf,
  operator,
  orderBy,
  quote,
  tableName,
  within,
} from './key-sql.ts';
import { type SelectShape, type TableSelect, groupWhere, hasColumns } from './select-shape.ts';
import { escapeMarks, keysInRange, native, toMarks, wholeInRange, wholeRows } from './whole-select.ts';

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
export function lockedChunk(shape: TableSelect, base: BaseTable, range: ChunkRange): Statement {
  const { alias } = shape.table;
  const query = restrict(withKeyText(shape, base), within(alias, base.key, range, 1));
  query.orderByRaw(raw(query, orderBy(alias, base.key))).limit(range.limit);
  const { text, values } = native(query);
  return { text: `${text} for no key update of ${quote(alias)}`, values };
}

/** Keys of the next rows of any select, in key order, each once: rows of `key text[]`. Locks nothing. */
export function pickKeys(shape: SelectShape, base: BaseTable, range: ChunkRange): Statement {
  const { text, values, keyAs } =
    shape.kind === 'whole' ? wholeInRange(shape, base, range) : tableInRange(shape, base, range);
  const names = keyAs.map(quote).join(', ');
  const texts = keyAs.map((name) => `${quote(name)}::pg_catalog.text`).join(', ');
  return {
    text: `select array[${texts}] as key
      from (select distinct ${names} from ${text}
            order by ${names} limit $${values.length + 1}::pg_catalog.int8) as picked
      order by ${names}`,
    values: [...values, range.limit],
  };
}

function tableInRange(
  shape: TableSelect,
  base: BaseTable,
  range: KeyRange,
): Statement & { readonly keyAs: readonly string[] } {
  const { alias } = shape.table;
  const query = restrict(groupWhere(shape.query).clearSelect(), within(alias, base.key, range, 1));
  selectKeyColumns(query, alias, base);
  const { text, values } = native(query);
  return { text: `(${text}) as matching`, values, keyAs: base.key.map((_, index) => keyColumn(index)) };
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
  if (shape.kind === 'whole') return wholeRows(shape, base, keys, keyText);
  const query = withKeyText(shape, base);
  selectKeyColumns(query, shape.table.alias, base);
  const { text, values } = native(query);
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
  if (shape.kind === 'whole') return ofBase(base, base.name, db, keysInRange(shape, base, range));
  const { alias } = shape.table;
  const query = restrict(groupWhere(shape.query).clearSelect(), within(alias, base.key, range, 1));
  if (shape.plain) return query;
  const { sql, bindings } = query.select(raw(query, orderBy(alias, base.key))).toSQL();
  return ofBase(base, alias, db, { text: sql, values: bindings });
}

/** The rows of the base table whose keys a query with `?` marks returns. */
function ofBase(base: BaseTable, alias: string, db: Knex, keys: Statement): Query {
  const sign = base.key[0]?.operatorSchema === undefined ? 'in' : `${operator(base.key[0], '=')} any`;
  const table = db.raw(escapeMarks(`${tableName(base)} as ${quote(alias)}`));
  const key = escapeMarks(`(${orderBy(alias, base.key)}) ${sign}`);
  const values = keys.values as Knex.RawBinding[];
  return db(table as unknown as string).whereRaw(`${key} (${keys.text})`, values) as Query;
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
  const leading = `t.${quote(first.name)}`;
  return {
    text: `select cut.key
      from (
        select snapped.key, snapped.key is distinct from pg_catalog.lag(snapped.key) over (order by i) as is_new, i
        from (
          select s.histogram_bounds::pg_catalog.text::pg_catalog.text[] as bounds
          from pg_catalog.pg_stats as s
          where s.schemaname = $1 and s.tablename = $2 and s.attname = $3
          order by s.inherited desc -- a partitioned table has its own row
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

function withKeyText(shape: TableSelect, base: BaseTable): Query {
  const query = groupWhere(shape.query);
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
  return client.raw(toMarks(text), [...values] as Knex.RawBinding[]);
}
