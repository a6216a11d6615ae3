import { fail } from '../errors.ts';
import type { Key } from '../ledger/rows.ts';
import { setBasedChunk } from '../migration/chunk-queries.ts';
import { upperKey } from '../migration/key-queries.ts';
import type { GuardedDatabase } from '../migration/guard.ts';
import type { BaseTable } from '../migration/key.ts';
import type { SelectShape } from '../migration/select-shape.ts';
import type { Session } from '../postgres/session.ts';
import { inOrder } from '../postgres/transaction.ts';
import { readTuples } from './tuples.ts';

/** What became of a set-based chunk. */
export interface UpdatedSet {
  /** Rows that were written, at most those of the chunk. */
  readonly rows: number;
  readonly to: Key;
  readonly last: boolean;
}

/** Finds the upper key of a set-based chunk, and has `update` write the rows up to it without reading them. */
export async function updateSet(
  session: Session,
  shape: SelectShape,
  base: BaseTable,
  guard: GuardedDatabase,
  { after, hi, limit }: { readonly after: Key | null; readonly hi: Key; readonly limit: number },
  on: {
    readonly call: (chunk: object) => Promise<unknown>;
    readonly trying: (rows: number, key: Key | null) => void;
  },
): Promise<UpdatedSet> {
  const probe = upperKey(base, after, hi, limit);
  const [found, before] = await inOrder([session.query(probe.text, probe.values), readTuples(session, base)]);
  const upper = (found.rows[0]?.['key'] as Key | null | undefined) ?? null;
  const to = upper ?? hi;
  if (limit === 1) {
    if (upper === null) return { rows: 0, to, last: true };
    on.trying(1, upper);
  }
  const chunk = setBasedChunk(shape, base, guard.builder, { after, upTo: to });
  await on.call(chunk);
  refuseChangedKeys(chunk, base);
  const { rows, isCertain } = guard.written();
  const now = isCertain ? before : await readTuples(session, base);
  const tuples = now.updated + now.deleted - before.updated - before.deleted;
  return { rows: Math.min(limit, Math.max(rows, tuples)), to, last: upper === null };
}

/**
 * A set-based update that moves its rows' keys would meet some of them again in the next chunk; its keys are not
 * at hand to be counted again. Sees what the chunk's own query sets.
 */
function refuseChangedKeys(chunk: object, base: BaseTable): void {
  const { _single: parts } = chunk as {
    readonly _single?: { readonly update?: object; readonly counter?: object };
  };
  const columns = Object.keys({ ...parts?.update, ...parts?.counter });
  const changed = base.key.find(({ name, madeFrom = [] }) =>
    [name, ...madeFrom].some((one) => columns.includes(one)),
  );
  if (changed === undefined) return;
  throw fail('MIGRATION_FAILED', {
    message: `update changes the key column ${JSON.stringify(changed.name)}`,
    detail: 'a row with a new key would be met again, or never',
    hint: 'name a key that update does not change in options.key',
  });
}
