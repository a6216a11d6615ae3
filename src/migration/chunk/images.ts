import { quote } from '../../core/values/quote.ts';
import { pg } from '../../postgres/pg.ts';
import type { FoundRows, KnownInsert } from '../handle/known-update.ts';
import { type SelectShape } from '../select/shape.ts';
import type { BaseTable } from '../key/key.ts';
import {
  type Statement,
  asText,
  chosen,
  comparedColumns,
  equalToChosen,
  oneOfQuery,
  orderBy,
  tableName,
  within,
} from '../key/sql.ts';
import { type StoredColumn, valueText } from '../key/stored-columns.ts';
import { keyIn, setBasedRows } from './queries.ts';
import { isOwnRow } from './still-matches.ts';

/** What rows held before and after the statements of a chunk, in SQL. */

/** Where images go: a table with the columns of the ledger's. */
export interface ImageSink {
  readonly table: string;
  readonly runId: string;
}

/** A table whose rows are written, as far as their images need to know it. */
export interface ImagedTable {
  /** As images name it; null: the table of the run. */
  readonly relation: readonly string[] | null;
  /** The columns by which rows are found again, by name. */
  readonly key: readonly string[];
  readonly columns: readonly StoredColumn[];
}

/** Whether two texts, or nulls, are not the same. Not `is distinct from`, whose operator the search path decides. */
function differs(one: string, other: string): string {
  return `coalesce(${one} operator(pg_catalog.<>) ${other},
    (${one} is null) operator(pg_catalog.<>) (${other} is null))`;
}

const list = (values: readonly string[]): string => `array[${values.join(', ')}]::pg_catalog.text[]`;
const texts = (values: readonly string[]): string => list(values.map((value) => pg.escapeLiteral(value)));
const asKept = (array: string): string => `(${array})::pg_catalog.text`;

/** Names as the text of an array, which the server would make again for each row. */
function namesText(names: readonly string[]): string {
  const parts = names.map((name) =>
    /^(?!null$)[\w$]+$/i.test(name) ? name : `"${name.replaceAll(/["\\]/g, String.raw`\$&`)}"`,
  );
  return `${pg.escapeLiteral(`{${parts.join(',')}}`)}::pg_catalog.text`;
}

function insertInto({ table, runId }: ImageSink, relation: readonly string[] | null, rest: string): string {
  const named = relation === null ? 'null::pg_catalog.text[]' : texts(relation);
  return `insert into ${table} (run_id, relation, key, columns, before, after)
    select ${runId}::pg_catalog.int8, ${named}, ${rest}`;
}

/** How images name a column. */
const nameOf = (relation: readonly string[] | null, { attnum, name }: StoredColumn): string =>
  relation === null ? String(attnum) : name;

/** Of the columns `b0`, `a0`, … of `x`, those that differ; all where `isGone`. As `d`, with its condition. */
function changes(names: readonly string[], isGone = 'false'): { from: string; where: string } {
  const [name] = names;
  if (names.length === 1 && name !== undefined) {
    const one = `select ${namesText([name])} as n, ${asKept(list(['x.b0']))} as b, ${asKept(list(['x.a0']))} as a`;
    return { from: `cross join lateral (${one}) as d`, where: `(${isGone} or ${differs('x.b0', 'x.a0')})` };
  }
  const rows = names.map((one, index) => `(${pg.escapeLiteral(one)}, x.b${index}, x.a${index})`);
  const [n, b, a] = ['n', 'b', 'a'].map((part) => asKept(`pg_catalog.array_agg(v.${part})`));
  return {
    from: `cross join lateral (
      select ${n} as n, ${b} as b, ${a} as a
      from (values ${rows.join(', ')}) as v (n, b, a) where ${isGone} or ${differs('v.b', 'v.a')}
    ) as d`,
    where: 'd.n is not null',
  };
}

const [oldRow, newRow] = ['__umzug_old', '__umzug_new'];
const done = '"__umzug_done"';

/**
 * An update that keeps images of its own rows in the same statement: one row with `count`, how many it has updated.
 * From Postgres 18 on. For what a trigger changes after it, it comes too early.
 */
export function imagingUpdate(
  sql: string,
  base: BaseTable,
  columns: readonly StoredColumn[],
  sink: ImageSink,
): string {
  const values = columns.flatMap((column, index) => [
    `${valueText(oldRow, column)} as b${index}`,
    `${valueText(newRow, column)} as a${index}`,
  ]);
  const { from, where } = changes(columns.map((column) => nameOf(null, column)));
  return `with ${done} as (${sql}
      returning with (old as ${quote(oldRow)}, new as ${quote(newRow)})
        ${asText(newRow, base.key)} as key, ${values.join(', ')}
    ), "__umzug_kept" as (
      ${insertInto(sink, null, `${asKept('x.key')}, d.n, d.b, d.a from ${done} as x ${from} where ${where}`)}
    )
    select pg_catalog.count(*) as count from ${done}`;
}

/**
 * An insert that keeps images of the rows that it has inserted in the same statement, and returns to the author what it
 * would; where that is nothing, one row with `count`. `merged`: a setting that is to say how many rows were there.
 */
export function imagingInsert(
  sql: string,
  { returning, names, isMerge }: KnownInsert,
  { relation, key, columns }: ImagedTable,
  {
    returnsOld,
    merged,
    ...sink
  }: ImageSink & { readonly returnsOld: boolean; readonly merged: string | null },
): string {
  const hasOld = isMerge && returnsOld;
  const body = returning === '' ? sql : sql.slice(0, -` returning ${returning}`.length);
  const kept = columns.filter(({ needsPath }) => !needsPath);
  const old = `${quote(oldRow)}.${quote(key[0] ?? '')} is null`;
  const isNew = hasOld ? old : isMerge ? `t.xmax operator(pg_catalog.=) '0'::pg_catalog.xid` : 'true';
  const named = namesText(kept.map((column) => nameOf(relation, column)));
  const [also, joined] = merged === null ? ['', ''] : tellingMerged(merged);
  return `with ${done} as (${body}
      returning ${hasOld ? `with (old as ${quote(oldRow)}) ` : ''}${returning === '' ? '' : `${returning}, `}
        ${list(key.map((name) => `t.${quote(name)}::pg_catalog.text`))} as "__umzug_key",
        ${list(kept.map((column) => valueText('t', column)))} as "__umzug_after", ${isNew} as "__umzug_is_new"
    ), "__umzug_kept" as (
      ${insertInto(
        sink,
        relation,
        `${asKept('x."__umzug_key"')}, ${named}, null, ${asKept('x."__umzug_after"')}
      from ${done} as x where x."__umzug_is_new"`,
      )}
    )${also}
    select ${returning === '' ? 'pg_catalog.count(*) as count' : names.map(quote).join(', ')} from ${done}${joined}`;
}

/** A query, and a join with it, that says in a setting how many rows were there. */
function tellingMerged(name: string): readonly [also: string, joined: string] {
  const count = 'pg_catalog.count(*) filter (where not "__umzug_is_new")';
  const told = `pg_catalog.set_config('${name}', (${count})::pg_catalog.text, true) as "__umzug_told"`;
  return [
    `, "__umzug_merged" as materialized (select ${told} from ${done})`,
    ' join "__umzug_merged" on "__umzug_told" is not null',
  ];
}

// Settings of the transaction, which nobody else sees: they need no table, and no log.
const setting = (name: string): string => `'umzug_cluster.before_${name}'`;

/** Rows of which it is kept what they hold: those of the run's table, or of another one; `set`: what sets them apart. */
export interface KeptRows {
  readonly table: BaseTable;
  readonly columns: readonly StoredColumn[];
  readonly set: string;
}

const ofBase = (table: BaseTable, columns: readonly StoredColumn[] = []): KeptRows => ({
  table,
  columns,
  set: '',
});

/** The setting that says which rows are kept: a savepoint that is rolled back takes it along. */
export const keptSetting = setting('kept');

/** Base rows of which it is kept what they hold. */
export interface RowsToKeep {
  /** Locks them first, and keeps their keys, under the author's search path; null: they are locked. */
  readonly lock: Statement | null;
  /** A condition on `t`. */
  readonly rows: Statement;
}

/** The rows that a set-based chunk selects now. */
export function selectedRows(
  shape: SelectShape,
  base: BaseTable,
  placed: BaseTable,
  range: Parameters<typeof within>[2],
): RowsToKeep {
  const { alias } = shape.table;
  const inRange = within(alias, keyIn(shape, placed), range, 1);
  const { text, values } = setBasedRows(shape, inRange, 'true', comparedColumns(alias, keyIn(shape, base)));
  const [before, behind] = oneOfQuery('t', base.key);
  const lock = `order by ${orderBy('t', base.key)} for no key update of t`;
  const keys = base.key.map((_, index) => `k${index}`).join(', ');
  return {
    lock: { text: keeping(ofBase(base), `${before}${text}${behind} ${lock}`), values },
    rows: { text: `${before}select ${keys} from ${keptRows(ofBase(base))}${behind}`, values: [] },
  };
}

/** Keeps what rows hold until the transaction ends, as `no`: one row with their `bytes`, of `rows`. */
export function keepRows(kept: KeptRows, { text, values }: Statement, no: number): Statement {
  const noted = `, pg_catalog.set_config(${keptSetting}, '${no}', true) as kept`;
  return { text: keeping(kept, text, kept.set === '' ? noted : ''), values };
}

/** The rows of another table that a statement of a helper may write, for `keepRows`. They are locked. */
export function foundRows(
  { key }: BaseTable,
  { source, where }: FoundRows,
  values: readonly unknown[],
): Statement {
  const lock = `order by ${orderBy('t', key)} for no key update of t`;
  return { text: `exists (select from ${source} where ${where}) ${lock}`, values };
}

function keeping(kept: KeptRows, which: string, also = ''): string {
  const { table, columns } = kept;
  const keys = table.key.map(({ name }, index) => `t.${quote(name)}::pg_catalog.text as k${index}`);
  const values = columns.map((column, index) => `${valueText('t', column)} as b${index}`);
  const lists = namesOf(kept).map(
    (name) => `pg_catalog.octet_length(pg_catalog.set_config(${setting(`${kept.set}${name}`)},
      coalesce(pg_catalog.array_agg(found.${name})::pg_catalog.text, '{}'), true))::pg_catalog.int8`,
  );
  return `with found as materialized (
      select ${[...keys, ...values].join(', ')} from ${tableName(table)} as t where ${which}
    )
    select pg_catalog.count(*) as rows, ${lists.join(' operator(pg_catalog.+) ')} as bytes${also} from found`;
}

function namesOf({ table, columns }: KeptRows): readonly string[] {
  return [...table.key.map((_, index) => `k${index}`), ...columns.map((_, index) => `b${index}`)];
}

/** The kept rows, as a query called `chosen`: with the key `k0` …, its text `t0` …, and the values `b0` …. */
function keptRows(kept: KeptRows): string {
  const { table, columns, set } = kept;
  const names = namesOf(kept);
  const lists = names.map(
    (name) => `pg_catalog.unnest(pg_catalog.current_setting(${setting(`${set}${name}`)})::pg_catalog.text[])`,
  );
  const key = table.key.flatMap(({ type }, index) => [
    `given.k${index}::${type} as k${index}`,
    `given.k${index} as t${index}`,
  ]);
  const values = columns.map((_, index) => `given.b${index}`);
  return `(select ${[...key, ...values].join(', ')}
    from rows from (${lists.join(', ')}) as given (${names.join(', ')})) as ${chosen}`;
}

/**
 * Images of the kept rows that are not as they were: one row, how many there are, and how many rows are `gone`. `relation`:
 * the table as images name it.
 */
export function keptImages(kept: KeptRows, relation: readonly string[] | null, sink: ImageSink): string {
  const { table, columns } = kept;
  const [first] = table.key;
  const key = table.key.map((_, index) => `${chosen}.t${index}`);
  const values = columns.flatMap((column, index) => [
    `${chosen}.b${index}`,
    `${valueText('t', column)} as a${index}`,
  ]);
  const compared = `select ${list(key)} as key, t.${quote(first?.name ?? '')} is null as gone,
      ${values.join(', ')}
    from ${keptRows(kept)} left join ${tableName(table)} as t on ${equalToChosen('t', table.key)}`;
  const { from, where } = changes(
    columns.map((column) => nameOf(relation, column)),
    'x.gone',
  );
  const image = `${asKept('x.key')}, d.n, d.b, case when not x.gone then d.a end`;
  return `with kept as (
      ${insertInto(sink, relation, `${image} from (${compared}) as x ${from} where ${where}`)} returning after
    )
    select pg_catalog.count(*) as images, pg_catalog.count(*) filter (where after is null) as gone from kept`;
}

/** How many of the kept rows this transaction has written: one row with `count`. */
export function countOwnKept(base: BaseTable): string {
  return `select pg_catalog.count(*) as count from ${keptRows(ofBase(base))}
    join ${tableName(base)} as t on ${equalToChosen('t', base.key)} where ${isOwnRow('t')}`;
}

/** How many rows this transaction has written besides those that are kept, if any are: one row with `count`. */
export function countBesideKept(base: BaseTable, isKept: boolean): string {
  const besides = isKept
    ? ` and not exists (select from ${keptRows(ofBase(base))} where ${equalToChosen('t', base.key)})`
    : '';
  return `select pg_catalog.count(*) as count from ${tableName(base)} as t where ${isOwnRow('t')}${besides}`;
}
