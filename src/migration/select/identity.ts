import { createHash } from 'node:crypto';
import type { Knex } from 'knex';
import type { BaseTable, KeyColumn } from '../key/key.ts';
import type { SelectShape } from './shape.ts';

/** SQL with `?` marks and its bindings; the same in every chunk and on every host. */
export function compiled({ builder }: { readonly builder: Pick<Knex.Raw, 'toSQL'> }): {
  readonly sql: string;
  readonly bindings: readonly unknown[];
} {
  const { sql, bindings } = builder.toSQL();
  return { sql, bindings };
}

/**
 * A hash of what a select means: text, bindings, base table and key. By names: a dump that is restored gives tables
 * and columns other numbers.
 */
export function identityOf(shape: SelectShape, base: BaseTable): string {
  const { sql, bindings } = compiled(shape);
  const key = base.key.map(partsOf);
  const parts = [
    sql,
    bindings.map(bindingText),
    base.schema,
    base.name,
    base.only ?? false,
    key,
    shape.keyAs,
  ];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** As a list: the ledger returns the fields of a column in another order. */
function partsOf({ name, type, isDomain, collation, operators, madeFrom }: KeyColumn): unknown {
  return [
    [name, type, isDomain ?? false, collation, madeFrom ?? []],
    Object.entries(operators ?? {}).toSorted(([one], [other]) => (one < other ? -1 : 1)),
  ];
}

/** In what the table or the key that was read differs from what is read now, in words; null: in nothing. */
export function otherTable(before: BaseTable, now: BaseTable): string | null {
  const [then, here] = [before, now].map(
    ({ schema, name, only }) => `${only ? 'only ' : ''}${schema}.${name}`,
  );
  if (then !== here) return `it read ${then}, and now reads ${here}`;
  const names = (base: BaseTable): string => base.key.map(({ name }) => name).join(', ');
  if (names(before) !== names(now)) return `the key was (${names(before)}), and is (${names(now)})`;
  for (const [index, column] of now.key.entries()) {
    const old = before.key[index] ?? column;
    const what = `the key column ${JSON.stringify(column.name)}`;
    const isSame = JSON.stringify(partsOf(old)) === JSON.stringify(partsOf(column));
    if (old.type !== column.type) return `${what} was of type ${old.type}, and is of type ${column.type}`;
    if (!isSame) return `${what} has a different domain, expression or collation`;
    if (before.oid === now.oid && old.attnum !== column.attnum) return `${what} was dropped and added again`;
  }
  return null;
}

/** Whether two understandings of a table count it and its columns by the same numbers. */
export function isNumberedAlike(one: BaseTable, other: BaseTable): boolean {
  const numbers = ({ oid, key }: BaseTable): string => [oid, ...key.map(({ attnum }) => attnum)].join(' ');
  return numbers(one) === numbers(other);
}

/** A column of the key, with the collations by which it was sorted and is sorted now: name and version of each. */
export interface Resorted {
  readonly name: string;
  readonly before: string;
  readonly now: string;
}

/** The first column of a table's key whose order is another one; null where all sort as they did, or are others. */
export function resortedColumn(before: BaseTable, now: BaseTable): Resorted | null {
  for (const [index, { name, type, collation }] of now.key.entries()) {
    const then = before.key[index];
    if (then?.name !== name || then.type !== type || then.collation === collation) continue;
    return { name, before: then.collation, now: collation };
  }
  return null;
}

/** A binding in a form by which two calls can be compared. */
export function bindingText(binding: unknown): string {
  const text = JSON.stringify(binding, (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  ) as string | undefined;
  return text ?? typeof binding;
}
