import { createHash } from 'node:crypto';
import type { Knex } from 'knex';
import type { BaseTable, KeyColumn } from './key.ts';
import type { SelectShape } from './select-shape.ts';

/** SQL with `?` marks and its bindings; the same in every chunk and on every host. */
export function compiled({ builder }: { readonly builder: Pick<Knex.Raw, 'toSQL'> }): {
  readonly sql: string;
  readonly bindings: readonly unknown[];
} {
  const { sql, bindings } = builder.toSQL();
  return { sql, bindings };
}

/** A hash of what a select means: text, bindings, base table and key. */
export function identityOf(shape: SelectShape, base: BaseTable): string {
  const { sql, bindings } = compiled(shape);
  const key = base.key.map(partsOf);
  const parts = [sql, bindings.map(bindingText), base.oid, base.only ?? false, key, shape.keyAs];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** As a list: the ledger returns the fields of a column in another order. */
function partsOf({ name, type, isDomain, attnum, collation, operators, madeFrom }: KeyColumn): unknown {
  return [
    [name, type, isDomain ?? false, attnum, collation, madeFrom ?? []],
    Object.entries(operators ?? {}).toSorted(([one], [other]) => (one < other ? -1 : 1)),
  ];
}

/** Whether two hosts, or two times, speak of the same table and of the same key of it. */
export function isSameTable(one: BaseTable, other: BaseTable): boolean {
  const parts = ({ oid, key }: BaseTable): string => JSON.stringify([oid, key.map(partsOf)]);
  return parts(one) === parts(other);
}

/** A column of the key, with the collations by which it was sorted and is sorted now: oid and version of each. */
export interface Resorted {
  readonly name: string;
  readonly before: string;
  readonly now: string;
}

/** The first column of a table's key whose order is another one; null where all sort as they did, or are others. */
export function resortedColumn(before: BaseTable, now: BaseTable): Resorted | null {
  for (const [index, { name, attnum, collation }] of now.key.entries()) {
    const then = before.key[index];
    const isOther = before.oid !== now.oid || then?.attnum !== attnum;
    if (isOther || then.collation === collation) continue;
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
