import { quote } from '../../core/values/quote.ts';
import type { Knex } from 'knex';
import { hidden } from './rows.ts';
import { type BaseTable, type KeyColumn, namedAs } from '../key/key.ts';
import type { Keys } from '../key/list.ts';
import {
  type KeyRange,
  type Statement,
  asText,
  oneOf,
  oneOfUpdated,
  orderBy,
  tableName,
  within,
} from '../key/sql.ts';
import { toMarks } from '../sql/marks.ts';
import { type RowBound, type WeighedBy, lastFitting } from './row-sizes.ts';
import { unended } from '../select/raw.ts';
import { type SelectShape, groupWhere, hasColumns } from '../select/shape.ts';

/**
 * The author's `select` turned into the statements of a chunk. Hidden columns are raw fragments, so that an
 * application's `wrapIdentifier` does not rename them, and `ChunkRows` takes them off before its
 * `postProcessResponse` sees the rows.
 */

type Query = Knex.QueryBuilder;

/** A range, and the most rows to take from it. */
export interface ChunkRange extends KeyRange {
  readonly limit: number;
  /** All matches are looked for before the first are taken: a walk along random keys reads a page for each of them. */
  readonly isGathered?: boolean;
}

/** How a statement tells the key of each row. */
export interface KeyColumns {
  /** The table with the key of its rows, where the table that is read orders them by something else. */
  readonly identity?: BaseTable;
  /** The author's own columns tell that key. */
  readonly isKeyShown?: boolean;
}

/**
 * Locks and reads the next rows of a plain select, in key order: one statement. The range is a condition
 * of the author's own query, so that the planner walks the key's index and stops at the limit. A row that was
 * changed while the statement waited for its lock comes as it is now, in its old place: it is marked, since it
 * may have got another key.
 */
export function lockedChunk(
  shape: SelectShape,
  base: BaseTable,
  range: ChunkRange,
  { identity = base, isKeyShown = false }: KeyColumns = {},
): Statement {
  const { alias } = shape.table;
  const withKey = !isKeyShown || identity !== base;
  const query = inRange(withKey ? withKeyText(shape, base) : withColumns(shape), shape, base, range);
  // Younger than all that was complete when the statement began. A column of nulls costs next to nothing.
  const isYoung = `pg_catalog.age(${quote(alias)}.xmin) operator(pg_catalog.<=) (
    select pg_catalog.age(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::pg_catalog.xid))`;
  query.select(raw(query, `case when ${isYoung} then 1 end as ${quote(hidden.moved)}`));
  if (identity !== base && !isKeyShown)
    query.select(raw(query, `${asText(alias, identity.key)} as ${quote(hidden.row)}`));
  const { text, values } = native(query);
  return { text: `${text} for no key update of ${quote(alias)}`, values };
}

/** How far the next rows of a plain select reach within a bound: see `lastFitting`. */
export function fittingChunk(
  shape: SelectShape,
  base: BaseTable,
  range: ChunkRange,
  bound: RowBound,
): Statement {
  const rows = inRange(withKeyText(shape, base, bound.weight?.by), shape, base, range);
  return lastFitting(native(rows), sizedKey(base), bound);
}

/** The same for the rows of any select with these keys. */
export function fittingKeys(shape: SelectShape, base: BaseTable, keys: Keys, bound: RowBound): Statement {
  const { text, values } = byKeys(keyedRows(shape, base, bound.weight?.by), base, keys);
  // With a limit, what a row weighs is not asked before it is its turn.
  return lastFitting({ text: `${text} limit ${keys.length}`, values }, sizedKey(base), bound);
}

function sizedKey({ key }: BaseTable): Parameters<typeof lastFitting>[1] {
  const column = `q.${quote(hidden.key)}`;
  return { column: hidden.key, list: key.length === 1 ? `array[${column}::pg_catalog.text]` : column };
}

/** The first rows of a query in a range, in the order of the key. */
function inRange(query: Query, shape: SelectShape, base: BaseTable, range: ChunkRange): Query {
  const { alias } = shape.table;
  const key = keyIn(shape, base);
  restrict(query, within(alias, key, range, 1));
  return query.orderByRaw(raw(query, orderBy(alias, key))).limit(range.limit);
}

/** Keys of the next rows of any select, in key order, each once: rows of `key text[]`. Locks nothing. */
export function pickKeys(shape: SelectShape, base: BaseTable, range: ChunkRange): Statement {
  const { alias } = shape.table;
  const ofRange = within(alias, keyIn(shape, base), range, 1);
  const query = restrict(groupWhere(shape.builder).clearSelect().clearOrder(), ofRange);
  selectKeyColumns(query, shape, base);
  const { text, values } = native(query);
  const names = base.key.map((_, index) => quote(hidden.column(index))).join(', ');
  const texts = base.key.map((_, index) => `${quote(hidden.column(index))}::pg_catalog.text`).join(', ');
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

/** Locks the base rows of `keys` in key order: rows of `key text[]` for those that still exist; of groups with their `rows`. */
export function lockKeys(base: BaseTable, keys: Keys): Statement {
  const { text, values } = oneOf('t', base.key, keys, 1);
  const locked = `select ${asText('t', base.key)} as key from ${tableName(base)} as t
      where ${text}
      order by ${orderBy('t', base.key)}
      for no key update of t`;
  if (base.isGrouped !== true) return { text: locked, values };
  return {
    text: `select l.key, pg_catalog.count(*)::pg_catalog.float8 as rows from (${locked}) as l group by l.key`,
    values,
  };
}

/** The author's query with the columns of the key behind its own, and with what each row weighs. */
export function keyedRows(shape: SelectShape, base: BaseTable, weight?: WeighedBy): Statement {
  const query = withKeyText(shape, base, weight);
  selectKeyColumns(query, shape, base);
  return native(query);
}

/** The author's rows of exactly these base rows, in key order. `isUpdated`: they may have been, in this transaction. */
export function rowsByKeys(shape: SelectShape, base: BaseTable, keys: Keys, isUpdated = false): Statement {
  return byKeys(keyedRows(shape, base), base, keys, isUpdated);
}

/**
 * The author's groups of these keys, in key order, of rows that this statement locks: of a row that came into a group
 * since it was locked, nobody knows whether it is in what is read, and it might be changed before it is written back.
 */
export function lockedGroups(shape: SelectShape, base: BaseTable, keys: Keys): Statement {
  const { alias } = shape.table;
  const { client } = shape.builder as unknown as { readonly client: Pick<Knex, 'raw'> };
  const given = oneOf(alias, base.key, keys, 1);
  const text = `(select * from ${tableName(base)} as ${quote(alias)} where ${given.text}
    order by ${orderBy(alias, base.key)} for no key update) as ${quote(alias)}`;
  const { sql, bindings } = toMarks(text, given.values);
  const rows = client.raw(sql, [...bindings] as Knex.RawBinding[]);
  const builder: Query = shape.builder.clone();
  builder.from(rows as never);
  const { text: groups, values } = keyedRows({ ...shape, builder }, base);
  const key = base.key.map((column, index) => namedAs(column, hidden.column(index)));
  return { text: `select s.* from (${groups}) as s order by ${orderBy('s', key)}`, values };
}

function byKeys({ text, values }: Statement, base: BaseTable, keys: Keys, isUpdated = false): Statement {
  const key = base.key.map((column, index) => namedAs(column, hidden.column(index)));
  const first = values.length + 1;
  const chosen = isUpdated ? oneOfUpdated('s', { ...base, key }, keys, first) : oneOf('s', key, keys, first);
  return {
    text: `select s.* from (${text}) as s where ${chosen.text} order by ${orderBy('s', key)}`,
    values: [...values, ...chosen.values],
  };
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

/** The key's columns under the names that the query gives them. */
export function keyIn({ keyAs }: SelectShape, { key }: BaseTable): readonly KeyColumn[] {
  if (keyAs === undefined) return key;
  return key.map((column, index) => namedAs(column, keyAs[index] ?? column.name));
}

/** A select of the same rows without their columns. */
export function withoutColumns(shape: SelectShape): SelectShape {
  const builder = shape.builder.clone().clearSelect();
  return { ...shape, builder: builder.select(raw(builder, 'null as none')) };
}

function withColumns(shape: SelectShape): Query {
  const query = groupWhere(shape.builder);
  return hasColumns(query) ? query : query.select(raw(query, '*'));
}

function withKeyText(shape: SelectShape, base: BaseTable, weight?: WeighedBy): Query {
  const query = withColumns(shape);
  const { alias } = shape.table;
  const columns = keyIn(shape, base);
  const key = columns.length === 1 ? `${orderBy(alias, columns)}::pg_catalog.text` : asText(alias, columns);
  query.select(raw(query, `${key} as ${quote(hidden.key)}`));
  if (typeof weight !== 'object') return query;
  const { sql, bindings } = weight.toSQL().toNative();
  return query.select(raw(query, `(${unended(sql)})::pg_catalog.int8 as ${quote(hidden.weight)}`, bindings));
}

function selectKeyColumns(query: Query, shape: SelectShape, base: BaseTable): void {
  for (const [index, column] of keyIn(shape, base).entries()) {
    query.select(raw(query, `${orderBy(shape.table.alias, [column])} as ${quote(hidden.column(index))}`));
  }
}

/** A query with one more condition. */
export function restrict(query: Query, condition: Statement): Query {
  return query.andWhere(raw(query, condition.text, condition.values));
}

/** A fragment of SQL with `$1` placeholders, for a query. */
export function raw(query: Query, text: string, values: readonly unknown[] = []): Knex.Raw {
  const { client } = query as unknown as { client: Pick<Knex, 'raw'> };
  const { sql, bindings } = toMarks(text, values);
  return client.raw(sql, [...bindings] as Knex.RawBinding[]);
}

/** A query as it is sent. */
export function native(query: Query): Statement {
  const { sql, bindings } = query.toSQL().toNative();
  return { text: sql, values: bindings };
}

/** The key of the last of the next `limit` rows of any select: no row where it has fewer, or one with `key`. */
export function nthRow(shape: SelectShape, base: BaseTable, range: ChunkRange): Statement {
  const { text, values } = pickKeys(shape, base, range);
  return {
    text: `select nth.key from (${text}) as nth offset $${values.length + 1}::pg_catalog.int8`,
    values: [...values, range.limit - 1],
  };
}
