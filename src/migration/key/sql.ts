import { quote } from '../../core/values/quote.ts';
import { type BaseTable, type Comparison, type KeyColumn, type Position, isKeyless } from './key.ts';
import { type Keys, byColumn } from './list.ts';

/**
 * Keys in SQL. Keys travel as text and are compared by Postgres alone: as the column's own type, in the
 * column's own collation. Every name is qualified, because the statements run with an empty search path.
 */

/** A statement for pg, with `$1` placeholders. */
export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** A half-open range of keys, or of places; `after` null: from the start. */
export interface KeyRange {
  readonly after: Position | null;
  readonly upTo: Position;
}

/** The table, qualified and quoted. */
export function tableName(base: BaseTable): string {
  return `${base.only === true ? 'only ' : ''}${quote(base.schema)}.${quote(base.name)}`;
}

/** `"t"."a", "t"."b"`: the base columns, never their text, ready for `order by` or a select list. */
export function orderBy(alias: string, key: readonly KeyColumn[], direction?: 'desc'): string {
  const suffix = direction === undefined ? '' : ` ${direction}`;
  return key.map((column) => `${columnOf(alias, column)}${suffix}`).join(', ');
}

/** A column of the key. An expression names columns of the only table that is read where it stands. */
export function columnOf(alias: string, { name, expression }: KeyColumn): string {
  return expression === undefined ? `${quote(alias)}.${quote(name)}` : `(${expression})`;
}

/** Rows that have a place in the order of the key: of what a select groups by, there may be some without a value. */
export function isPlaced(alias: string, { key, isGrouped }: BaseTable): string {
  if (isGrouped !== true) return 'true';
  return key.map((column) => `${columnOf(alias, column)} is not null`).join(' and ');
}

/** The base columns as they are compared: `"t"."a", "t"."b"::"public"."mood"`. */
export function comparedColumns(alias: string, key: readonly KeyColumn[]): string {
  return key.map((column) => compared(alias, column)).join(', ');
}

// A domain over an enum has no operators of its own. An index on the domain serves the type beneath as well.
function compared(alias: string, column: KeyColumn): string {
  return `${orderBy(alias, [column])}${column.isDomain === true ? `::${column.type}` : ''}`;
}

/** Several columns, or placeholders, as one value. */
function asRow(parts: string, key: readonly KeyColumn[]): string {
  return key.length === 1 ? parts : `row(${parts})`;
}

/** `$3::"pg_catalog"."uuid", $4::…`: one placeholder per key column, from `first` on. */
function castParams(key: readonly KeyColumn[], first: number): string {
  return key.map((column, index) => `$${first + index}::${column.type}`).join(', ');
}

/** The key as a `text[]`; JavaScript never sees another form of it. */
export function asText(alias: string, key: readonly KeyColumn[]): string {
  const columns = key.map((column) => `${columnOf(alias, column)}::pg_catalog.text`);
  return `array[${columns.join(', ')}]`;
}

/** Whether the key in the `text[]` expression `one` comes before that in `other`, or is the same. */
export function isAtMost(one: string, other: string, base: BaseTable): string {
  return spelledOut(base.key, '<=', (column, index, sign) => {
    const [left, right] = [one, other].map((list) => partOf(list, column, index, base));
    return `${left} ${operator(column, sign)} ${right}`;
  });
}

/**
 * One column of the key that is in the `text[]` expression `list`. The table's own column, of no row, lends the
 * comparison its collation.
 */
function partOf(list: string, column: KeyColumn, index: number, base: BaseTable): string {
  const own = `select ${columnOf('t', column)} from ${tableName(base)} as t where false`;
  return `coalesce((${own}), (${list})[${index + 1}]::${column.type})`;
}

/** Rows behind the key in the placeholders from `first` on. */
export function after(alias: string, key: readonly KeyColumn[], first: number): string {
  return compare(alias, key, '>', first);
}

/** Rows up to, and with, the key in the placeholders from `first` on. */
export function upTo(alias: string, key: readonly KeyColumn[], first: number): string {
  return compare(alias, key, '<=', first);
}

/** Rows before the key in the placeholders from `first` on. */
export function below(alias: string, key: readonly KeyColumn[], first: number): string {
  return compare(alias, key, '<', first);
}

/** Rows of a range, with its values; the placeholders begin at `first`. */
export function within(alias: string, key: readonly KeyColumn[], range: KeyRange, first: number): Statement {
  const upper = upTo(alias, key, first + (range.after?.length ?? 0));
  if (range.after === null) return { text: upper, values: range.upTo };
  return { text: `${after(alias, key, first)} and ${upper}`, values: [...range.after, ...range.upTo] };
}

/** Rows whose key is one of `keys`, with its values; the placeholders begin at `first`. */
export function oneOf(alias: string, key: readonly KeyColumn[], keys: Keys, first: number): Statement {
  return oneOfLists(alias, key, byColumn(keys, key.length), first);
}

/**
 * The same after an update in this transaction, of rows that it has locked before. A row without a key has another place
 * by then: Postgres leads from each version of a row to the next, and keeps all that a running transaction has replaced.
 */
export function oneOfUpdated(
  alias: string,
  base: Pick<BaseTable, 'oid' | 'key'>,
  keys: Keys,
  first: number,
): Statement {
  if (!isKeyless(base)) return oneOf(alias, base.key, keys, first);
  const places = `select ${placeNow(base, 'was')} from pg_catalog.unnest($${first}::pg_catalog.tid[]) as given (was)`;
  const text = `${orderBy(alias, base.key)} operator(pg_catalog.=) any (array(${places}))`;
  return { text, values: byColumn(keys, base.key.length) };
}

/** Where the row is now that was at a place; the same place where it is gone. */
export function placeNow({ oid }: Pick<BaseTable, 'oid'>, was: string): string {
  return `pg_catalog.currtid2(${Number(oid)}::pg_catalog.oid::pg_catalog.regclass::pg_catalog.text, ${was})`;
}

/** The same for keys by column: of each an array, or the text of one. */
export function oneOfLists(
  alias: string,
  key: readonly KeyColumn[],
  values: readonly unknown[],
  first: number,
): Statement {
  const [single] = key;
  if (key.length === 1 && single !== undefined && !isArrayType(single)) {
    const text = `${compared(alias, single)} ${operator(single, '=')} any ($${first}::${single.type}[])`;
    return { text, values };
  }
  const lists = key.map((_, index) => `pg_catalog.unnest($${first + index}::pg_catalog.text[])`).join(', ');
  const given = key.map((column, index) => `given.k${index}::${column.type}`).join(', ');
  const names = key.map((_, index) => `k${index}`).join(', ');
  const [before, behind] = oneOfQuery(alias, key);
  return { text: `${before}select ${given} from rows from (${lists}) as given (${names})${behind}`, values };
}

/**
 * Rows whose key is one of those in the array that the query gives, as Postgres visits them: in the key's order. Null
 * for a key that no array can hold.
 */
export function oneOfArray(alias: string, key: readonly KeyColumn[], query: string): string | null {
  const [single] = key;
  if (key.length !== 1 || single === undefined || isArrayType(single)) return null;
  return `${compared(alias, single)} ${operator(single, '=')} any (array(${query}))`;
}

/** What stands before and behind a query for `comparedColumns`: rows whose key is one of its. */
export function oneOfQuery(
  alias: string,
  key: readonly KeyColumn[],
): readonly [before: string, behind: string] {
  const [leading] = key;
  if (leading !== undefined && isUniform(key, '=')) {
    return [`(${comparedColumns(alias, key)}) ${operator(leading, '=')} any (`, ')'];
  }
  const names = key.map((_, index) => `k${index}`).join(', ');
  return ['exists (select from (', `) as ${chosen} (${names}) where ${equalToChosen(alias, key)})`];
}

/** The name of a query that says which rows are meant. */
export const chosen = '"__umzug_chosen"';

/** Rows whose key is in the columns `k0`, `k1`, … of `chosen`. */
export function equalToChosen(alias: string, key: readonly KeyColumn[]): string {
  const equal = key.map(
    (column, index) => `${compared(alias, column)} ${operator(column, '=')} ${chosen}.k${index}`,
  );
  return equal.join(' and ');
}

/**
 * `operator(pg_catalog.=)`: qualified, because with an empty search path an extension's operators are not found,
 * and those of another type would be taken in silence: citext would be compared as text.
 */
export function operator(column: KeyColumn, name: Comparison): string {
  return `operator(${column.operators?.[name] ?? `pg_catalog.${name}`})`;
}

function isUniform(key: readonly KeyColumn[], name: Comparison): boolean {
  return new Set(key.map((column) => operator(column, name))).size === 1;
}

function compare(alias: string, key: readonly KeyColumn[], name: '<' | '<=' | '>', first: number): string {
  const [leading] = key;
  if (leading === undefined || !isUniform(key, name)) {
    return spelledOut(
      key,
      name,
      (column, index, sign) =>
        `${compared(alias, column)} ${operator(column, sign)} ${castParams([column], first + index)}`,
    );
  }
  const columns = asRow(comparedColumns(alias, key), key);
  return `${columns} ${operator(leading, name)} ${asRow(castParams(key, first), key)}`;
}

/**
 * A row comparison takes one operator for all columns. Where they need different ones: (a, b) > (x, y) is
 * a > x or a = x and b > y. The bound on the first column is for its index.
 */
function spelledOut(
  key: readonly KeyColumn[],
  name: '<' | '<=' | '>',
  compareOne: (column: KeyColumn, index: number, sign: Comparison) => string,
): string {
  const strict = name === '>' ? '>' : '<';
  const terms = key.map((column, index) => (sign: Comparison) => compareOne(column, index, sign));
  const whole = terms.reduceRight((rest, term, index) => {
    return index === terms.length - 1 ? term(name) : `(${term(strict)} or ${term('=')} and ${rest})`;
  }, '');
  return `${terms[0]?.(name === '>' ? '>=' : '<=') ?? 'true'} and ${whole}`;
}

// Postgres names the array type of "x" "_x"; there is no array of arrays to cast to.
function isArrayType(column: KeyColumn): boolean {
  return /\."?_/.test(column.type);
}
