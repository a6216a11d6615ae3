import type { Knex } from 'knex';
import { didYouMean } from '../../core/values/names.ts';
import { quote } from '../../core/values/quote.ts';
import type { FoundRows } from '../handle/known-update.ts';
import { type Call, GivenRows, mistake } from './given-rows.ts';
import { type TargetColumn, readUniqueKeys } from './target-columns.ts';

export interface InsertRowsOptions {
  /**
   * Rows that the table has already: `'ignore'` passes them over, whichever unique key they violate; `merge` gives
   * the columns of such a row that get the new values. Unset: they are an error.
   */
  readonly onConflict?: 'ignore' | Merge;
}

export interface Merge {
  /** Columns that get the new values where the row is there. */
  readonly merge: readonly string[];
  /** The unique key by which it is found; unset: the one whose columns the rows have, the primary key first. */
  readonly key?: readonly string[];
}

type Returning = InsertRowsOptions & {
  /** Columns that are returned for each row that was inserted, or merged; an ignored row is not among them. */
  readonly returning: readonly string[];
};

/**
 * Inserts rows in one statement, in their order and whatever their number; returns how many were inserted or merged, or with `returning` these rows
 * themselves. All rows have the same columns, under the names that the application has for them; a column that they
 * do not have gets its default. Types come from the catalog, and what `updateRows` refuses is refused: undefined, a
 * value that does not fit its column, and one key twice where rows are merged.
 */
export function insertRows<R extends object = Record<string, unknown>>(
  db: Knex,
  table: string,
  rows: readonly object[],
  options: Returning,
): Promise<R[]>;
export function insertRows(
  db: Knex,
  table: string,
  rows: readonly object[],
  options?: InsertRowsOptions,
): Promise<number>;
export async function insertRows(
  db: Knex,
  table: string,
  rows: readonly object[],
  { onConflict, returning }: InsertRowsOptions & Partial<Returning> = {},
): Promise<number | readonly object[]> {
  const usage = `rows of insertRows(db, '${table}', rows) need the same columns each, and null for what is missing`;
  const call: Call = { helper: 'insertRows', db, table, rows, usage };
  if (rows.length === 0) return returning === undefined ? 0 : [];
  const properties = propertiesOf(call);
  // Of each type the =, by which rows that are there are found.
  const given = await GivenRows.read(call, properties, typeof onConflict === 'object' ? properties : []);
  const names = given.columns.map(({ name }) => quote(name)).join(', ');
  const values = given.columns.map((column) => given.value(column)).join(', ');
  const shown = returning === undefined ? '' : asNamed(given, returning);
  const merge = typeof onConflict === 'object' ? await mergeOf(call, given, onConflict) : null;
  const parts = [
    `insert into ${given.table} as t (${names}) select ${values} from ${given.source}`,
    merge?.action ?? (onConflict === undefined ? '' : 'on conflict do nothing'),
    shown === '' ? '' : `returning ${shown}`,
  ];
  const inserts = { returning: shown, names: returning ?? [], isMerge: merge !== null };
  const finds = merge === null ? {} : { finds: merge.finds };
  const known = { table: given.table, columns: null, inserts, ...finds };
  const { rows: returned, count } = await given.run(parts.filter((part) => part !== '').join(' '), known);
  return returning === undefined ? count : returned;
}

/** What the rows have, which must be the same for all: a value that is missing in one would be a default, or a mistake. */
function propertiesOf(call: Call): readonly string[] {
  const [first] = call.rows;
  const properties = typeof first === 'object' && first !== null ? Object.keys(first) : [];
  if (properties.length === 0) throw mistake(call, 'row 1 has no columns');
  const known = new Set(properties);
  for (const [index, row] of call.rows.entries()) {
    const other = Object.keys(row ?? {}).find((name) => !known.has(name));
    if (other === undefined) continue;
    const similar = didYouMean(other, properties);
    throw mistake(call, `row ${index + 1} has a column "${other}" that row 1 does not have${similar}`);
  }
  return properties;
}

async function mergeOf(
  call: Call,
  given: GivenRows,
  { merge, key }: Merge,
): Promise<{ readonly action: string; readonly finds: FoundRows }> {
  if (merge.length === 0)
    throw mistake(
      call,
      "merge must name at least one column; to keep the row that is there, write onConflict: 'ignore'",
    );
  const found = key === undefined ? await onlyKey(call, given) : key.map((name) => given.column(name).name);
  const keys = found.map((name) => columnGiven(call, given, name));
  const changes = merge.map((name) => columnGiven(call, given, given.column(name).name));
  const both = changes.find((column) => keys.includes(column));
  if (both !== undefined)
    throw mistake(call, `"${both.property}" is in key and in merge: it is equal already`);
  given.refuseTwins(keys);
  const listed = keys.map(({ name }) => quote(name)).join(', ');
  const pairs = changes.map(({ name }) => `${quote(name)} = excluded.${quote(name)}`).join(', ');
  return { action: `on conflict (${listed}) do update set ${pairs}`, finds: given.finds(keys, changes) };
}

/** The key by which rows are found that are there: the primary key where the rows have it, or the one they have. */
async function onlyKey(call: Call, given: GivenRows): Promise<readonly string[]> {
  const has = (name: string): boolean => given.columns.some((column) => column.name === name);
  const keys = (await readUniqueKeys(call.db, given.table)).filter(({ columns }) => columns.every(has));
  const [first, ...others] = keys;
  if (first === undefined) {
    throw mistake(
      call,
      `the rows have the columns of no unique key of "${call.table}", so none can be found again`,
    );
  }
  if (others.length === 0 || first.isPrimary) return first.columns;
  const listed = keys.map(({ columns }) => `['${columns.join("', '")}']`).join(' or ');
  throw mistake(
    call,
    `the rows have the columns of several unique keys: write onConflict: { key, merge } with key ${listed}`,
  );
}

function columnGiven(call: Call, given: GivenRows, name: string): TargetColumn {
  const column = given.columns.find((one) => one.name === name);
  if (column === undefined) throw mistake(call, `the rows have no column "${name}"`);
  return column;
}

function asNamed(given: GivenRows, returning: readonly string[]): string {
  return returning.map((name) => `t.${quote(given.column(name).name)} as ${quote(name)}`).join(', ');
}
