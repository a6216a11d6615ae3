import { createHash } from 'node:crypto';
import type { Knex } from 'knex';
import type { BaseTable } from './key.ts';
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
  // A list: the ledger returns a key's fields in another order.
  const key = base.key.map(({ name, type, isDomain, attnum, collation, operators = {}, madeFrom }) => [
    [name, type, isDomain ?? false, attnum, collation, madeFrom ?? []],
    Object.entries(operators).toSorted(([one], [other]) => (one < other ? -1 : 1)),
  ]);
  const parts = [sql, bindings.map(bindingText), base.oid, base.only ?? false, key, shape.keyAs];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** A binding in a form by which two calls can be compared. */
export function bindingText(binding: unknown): string {
  const text = JSON.stringify(binding, (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  ) as string | undefined;
  return text ?? typeof binding;
}
