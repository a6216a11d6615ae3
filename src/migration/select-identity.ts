import { createHash } from 'node:crypto';
import { fail } from '../errors.ts';
import type { BaseTable } from './key.ts';
import type { SelectShape } from './select-shape.ts';

/** SQL with `?` marks and its bindings; the same in every chunk and on every host. */
export function compiled({ query }: SelectShape): {
  readonly sql: string;
  readonly bindings: readonly unknown[];
} {
  const { sql, bindings } = query.toSQL();
  return { sql, bindings };
}

/** A hash of what a select means: text, bindings, base table and key. */
export function identity(shape: SelectShape, base: BaseTable): string {
  const { sql, bindings } = compiled(shape);
  // A list, because the ledger may return a key's fields in another order.
  const key = base.key.map(({ name, type, attnum, collation, operatorSchema }) => [
    name,
    type,
    attnum,
    collation,
    operatorSchema ?? null,
  ]);
  const parts = [sql, bindings.map(bindingText), base.oid, key];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** A binding in a form that two calls can be compared by. */
export function bindingText(binding: unknown): string {
  const text = JSON.stringify(binding, (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  ) as string | undefined;
  return text ?? typeof binding;
}

/** The refusal to go on with another select than the one with which a run began. */
export function otherSelect(name: string): Error {
  return fail('DRIFT', {
    message: `${name}: select does not mean what it meant when the run began`,
    detail: 'its SQL, its bindings, its table or its key differ',
    hint: 'a select must not depend on the time, on chance, on the process or on the host',
  });
}
