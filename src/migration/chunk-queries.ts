import type { Knex } from 'knex';
import { parseTextArray } from '../postgres/parsers.ts';
import type { BaseTable, KeyColumn } from './key.ts';
import {
  type KeyRange,
  type Statement,
  asText,
  comparedColumns,
  oneOf,
  oneOfQuery,
  orderBy,
  quote,
  tableName,
  within,
} from './key-sql.ts';
import { escapeMarks, toMarks } from './marks.ts';
import { type ColumnSize, lastFitting } from './row-sizes.ts';
import { type SelectShape, groupWhere, hasColumns } from './select-shape.ts';

/**
 * The author's `select` turned into the statements of a chunk. Hidden columns are raw fragments, so that an
 * application's `wrapIdentifier` does not rename them, and `splitRows` takes them off before its
 * `postProcessResponse` sees the rows.
 */

type Key = readonly string[];
type Query = Knex.QueryBuilder;

const keyText = '__umzug_key';
const moved = '__umzug_moved';
const rowKey = '__umzug_row';
const keyColumn = (index: number): string => `__umzug_k${index}`;

// A text whose parser no application has changed. As a `text[]` of one element, reading it took 13 % of the
// client's time.
const plainText = 'pg_catalog.text::pg_catalog.refcursor';

/** A range, and the most rows to take from it. */
export interface ChunkRange extends KeyRange {
  readonly limit: number;
  /** All matches are looked for before the first are taken: a walk along random keys reads a page for each of them. */
  readonly isGathered?: boolean;
}

/** How large a chunk may be, where its columns can be large. */
export interface ByteBound {
  readonly sizes: readonly ColumnSize[];
  readonly maxBytes: number;
}

/**
 * Locks and reads the next rows of a plain select, in key order: one statement. The range is a condition
 * of the author's own query, so that the planner walks the key's index and stops at the limit. A row that was
 * changed while the statement waited for its lock comes as it is now, in its old place: it is marked, since it
 * may have got another key. `identity`: the table with the key of its rows, where `base` orders them by something
 * else.
 */
export function lockedChunk(
  shape: SelectShape,
  base: BaseTable,
  range: ChunkRange,
  identity: BaseTable = base,
): Statement {
  const { alias } = shape.table;
  const query = nextRows(shape, base, range);
  // Younger than all that was complete when the statement began. A column of nulls costs next to nothing.
  const isYoung = `pg_catalog.age(${quote(alias)}.xmin) <= (
    select pg_catalog.age(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::pg_catalog.xid))`;
  query.select(raw(query, `case when ${isYoung} then 1 end as ${quote(moved)}`));
  if (identity !== base) query.select(raw(query, `${asText(alias, identity.key)} as ${quote(rowKey)}`));
  const { text, values } = native(query);
  return { text: `${text} for no key update of ${quote(alias)}`, values };
}

/** How far the next rows of a plain select reach within `maxBytes`: see `lastFitting`. */
export function fittingChunk(
  shape: SelectShape,
  base: BaseTable,
  range: ChunkRange,
  { sizes, maxBytes }: ByteBound,
): Statement {
  return lastFitting(native(nextRows(shape, base, range)), sizedKey(base), sizes, maxBytes);
}

/** The same for the rows of any select with these keys. */
export function fittingKeys(
  shape: SelectShape,
  base: BaseTable,
  keys: readonly Key[],
  { sizes, maxBytes }: ByteBound,
): Statement {
  return lastFitting(rowsByKeys(shape, base, keys), sizedKey(base), sizes, maxBytes);
}

function sizedKey({ key }: BaseTable): Parameters<typeof lastFitting>[1] {
  const column = `q.${quote(keyText)}`;
  return { column: keyText, list: key.length === 1 ? `array[${column}::pg_catalog.text]` : column };
}

function nextRows(shape: SelectShape, base: BaseTable, range: ChunkRange): Query {
  const { alias } = shape.table;
  const key = keyIn(shape, base);
  const query = restrict(withKeyText(shape, base), within(alias, key, range, 1));
  return query.orderByRaw(raw(query, orderBy(alias, key))).limit(range.limit);
}

/** Keys of the next rows of any select, in key order, each once: rows of `key text[]`. Locks nothing. */
export function pickKeys(shape: SelectShape, base: BaseTable, range: ChunkRange): Statement {
  const { alias } = shape.table;
  const ofRange = within(alias, keyIn(shape, base), range, 1);
  const query = restrict(groupWhere(shape.builder).clearSelect(), ofRange);
  selectKeyColumns(query, shape, base);
  const { text, values } = native(query);
  const names = base.key.map((_, index) => quote(keyColumn(index))).join(', ');
  const texts = base.key.map((_, index) => `${quote(keyColumn(index))}::pg_catalog.text`).join(', ');
  // What is materialized is planned as if there were no limit.
  const first = range.isGathered ? `with found as materialized (${text}) ` : '';
  const from = range.isGathered ? 'found' : `(${text}) as found`;
  return {
    text: `${first}select array[${texts}] as key
      from (select distinct ${names} from ${from}
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
  selectKeyColumns(query, shape, base);
  const { text, values } = native(query);
  const key = base.key.map((column, index) => ({ ...column, name: keyColumn(index) }));
  const chosen = oneOf('s', key, keys, values.length + 1);
  return {
    text: `select s.* from (${text}) as s where ${chosen.text} order by ${orderBy('s', key)}`,
    values: [...values, ...chosen.values],
  };
}

/** Takes the keys that `lockedChunk` tells of rows in another order, in place. */
export function takeRowKeys(rows: readonly object[]): Key[] {
  return rows.map((row) => {
    const fields = row as Record<string, unknown>;
    const key = fields[rowKey];
    delete fields[rowKey];
    return keyOfList(key);
  });
}

/** Takes the hidden columns off the rows, in place, and returns the rows with their keys. */
export function splitRows(
  rows: readonly object[],
  base: BaseTable,
): { readonly rows: object[]; readonly keys: Key[]; readonly mayHaveMoved: boolean } {
  let mayHaveMoved = false;
  const hidden = base.key.map((_, index) => keyColumn(index)).reverse();
  const keys = rows.map((row) => {
    const fields = row as Record<string, unknown>;
    const key = fields[keyText];
    // Last column first: V8 keeps an object fast only where its last property is deleted.
    if (moved in fields) {
      mayHaveMoved ||= fields[moved] !== null;
      delete fields[moved];
    }
    for (const name of hidden) if (name in fields) delete fields[name];
    delete fields[keyText];
    return base.key.length === 1 ? [String(key)] : keyOfList(key);
  });
  return { rows: [...rows], keys, mayHaveMoved };
}

function keyOfList(list: unknown): Key {
  return (Array.isArray(list) ? list : parseTextArray(String(list))) as Key;
}

/** The base rows that the author selects and that meet both conditions: of each what `column` says. */
export function setBasedRows(
  shape: SelectShape,
  chosen: Statement,
  condition: string,
  column = '1 as one',
): Statement {
  const query = restrict(groupWhere(shape.builder).clearSelect(), chosen);
  return native(query.andWhere(raw(query, condition)).select(raw(query, column)));
}

/** The author's query on one range, ready for `.update()` or `.delete()`. */
export function setBasedChunk(shape: SelectShape, base: BaseTable, db: Knex, range: KeyRange): Query {
  const { alias } = shape.table;
  const key = keyIn(shape, base);
  const query = restrict(groupWhere(shape.builder).clearSelect(), within(alias, key, range, 1));
  if (shape.plain) return query;
  const inner = query.select(raw(query, comparedColumns(alias, key))).toSQL();
  const name = shape.keyAs === undefined ? alias : base.name;
  const [before, behind] = oneOfQuery(name, base.key);
  const table = db.raw(escapeMarks(`${tableName(base)} as ${quote(name)}`));
  return db(table as unknown as string).whereRaw(
    `${escapeMarks(before)}${inner.sql}${escapeMarks(behind)}`,
    inner.bindings as Knex.RawBinding[],
  ) as Query;
}

/** The key's columns under the names that the query gives them. */
function keyIn({ keyAs }: SelectShape, { key }: BaseTable): readonly KeyColumn[] {
  if (keyAs === undefined) return key;
  return key.map((column, index) => ({ ...column, name: keyAs[index] ?? column.name }));
}

function withKeyText(shape: SelectShape, base: BaseTable): Query {
  const query = groupWhere(shape.builder);
  if (!hasColumns(query)) query.select(raw(query, '*'));
  const { alias } = shape.table;
  const columns = keyIn(shape, base);
  const key = columns.length === 1 ? `${orderBy(alias, columns)}::${plainText}` : asText(alias, columns);
  return query.select(raw(query, `${key} as ${quote(keyText)}`));
}

function selectKeyColumns(query: Query, shape: SelectShape, base: BaseTable): void {
  for (const [index, column] of keyIn(shape, base).entries()) {
    query.select(raw(query, `${orderBy(shape.table.alias, [column])} as ${quote(keyColumn(index))}`));
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
