import type { BaseTable, KeyColumn } from './key.ts';

/**
 * Keys in SQL. Keys travel as text and are compared by Postgres alone: as the column's own type, in the
 * column's own collation. Every name is qualified, because the statements run with an empty search path.
 */

/** A statement for pg, with `$1` placeholders. */
export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** A key as text, one element per key column. */
type Key = readonly string[];

/** A half-open range of keys; `after` null: from the start. */
export interface KeyRange {
  readonly after: Key | null;
  readonly upTo: Key;
}

/** Quotes an identifier. */
export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The table, qualified and quoted. */
export function tableName(base: BaseTable): string {
  return `${quote(base.schema)}.${quote(base.name)}`;
}

/** `"t"."a", "t"."b"`: the base columns, never their text, ready for `order by` or a select list. */
export function orderBy(alias: string, key: readonly KeyColumn[], direction?: 'desc'): string {
  const suffix = direction === undefined ? '' : ` ${direction}`;
  return key.map((column) => `${quote(alias)}.${quote(column.name)}${suffix}`).join(', ');
}

/** The key as one value: `"t"."a"`, or `row("t"."a", "t"."b")`. */
export function rowExpr(alias: string, key: readonly KeyColumn[]): string {
  return key.length === 1 ? orderBy(alias, key) : `row(${orderBy(alias, key)})`;
}

/** `$3::"pg_catalog"."uuid", $4::…`: one placeholder per key column, from `first` on. */
export function castParams(key: readonly KeyColumn[], first: number): string {
  return key.map((column, index) => `$${first + index}::${column.type}`).join(', ');
}

/** The placeholders from `first` on as one value, to compare with `rowExpr`. */
export function placeholders(key: readonly KeyColumn[], first: number): string {
  const params = castParams(key, first);
  return key.length === 1 ? params : `row(${params})`;
}

/** The key as a `text[]`; JavaScript never sees another form of it. */
export function asText(alias: string, key: readonly KeyColumn[]): string {
  const columns = key.map((column) => `${quote(alias)}.${quote(column.name)}::pg_catalog.text`);
  return `array[${columns.join(', ')}]`;
}

/**
 * A key that stands in the `text[]` expression `list`, as one value. The table's own columns, of no row, lend
 * the comparison their collation.
 */
export function fromText(list: string, base: BaseTable): string {
  const columns = base.key.map(
    (column, index) =>
      `coalesce((select t.${quote(column.name)} from ${tableName(base)} as t where false), (${list})[${index + 1}]::${column.type})`,
  );
  return columns.length === 1 ? columns.join('') : `row(${columns.join(', ')})`;
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
export function oneOf(
  alias: string,
  key: readonly KeyColumn[],
  keys: readonly Key[],
  first: number,
): Statement {
  const values = key.map((_, index) => keys.map((one) => one[index]));
  const [single] = key;
  if (key.length === 1 && single !== undefined && !isArrayType(single)) {
    const equals = operator(single, '=');
    return { text: `${orderBy(alias, key)} ${equals} any ($${first}::${single.type}[])`, values };
  }
  const lists = key.map((_, index) => `pg_catalog.unnest($${first + index}::pg_catalog.text[])`).join(', ');
  const given = key.map((column, index) => `given.k${index}::${column.type}`).join(', ');
  const names = key.map((_, index) => `k${index}`).join(', ');
  const set = `select ${given} from rows from (${lists}) as given (${names})`;
  const left = key.length === 1 ? orderBy(alias, key) : `(${orderBy(alias, key)})`;
  const isIn = single?.operatorSchema === undefined ? 'in' : `${operator(single, '=')} any`;
  return { text: `${left} ${isIn} (${set})`, values };
}

/** `=`, or `operator("public".=)`: with an empty search path an extension's operators are not found. */
export function operator(column: KeyColumn, name: '<' | '<=' | '=' | '>'): string {
  if (column.operatorSchema === undefined) return name;
  return `operator(${quote(column.operatorSchema)}.${name})`;
}

function compare(alias: string, key: readonly KeyColumn[], name: '<' | '<=' | '>', first: number): string {
  const [leading] = key;
  const sign = leading === undefined ? name : operator(leading, name);
  return `${rowExpr(alias, key)} ${sign} ${placeholders(key, first)}`;
}

// Postgres names the array type of "x" "_x"; there is no array of arrays to cast to.
function isArrayType(column: KeyColumn): boolean {
  return /\."?_/.test(column.type);
}
