import { fail } from '../errors.ts';
import type { Key } from '../ledger/rows.ts';
import type { Reach } from '../core/reach.ts';
import { nthRow, setBasedChunk } from '../migration/chunk-queries.ts';
import { upperKey } from '../migration/key-queries.ts';
import type { GuardedDatabase } from '../migration/guard.ts';
import type { BaseTable } from '../migration/key.ts';
import type { KeyRange, Statement } from '../migration/key-sql.ts';
import type { SelectShape } from '../migration/select-shape.ts';
import type { Session } from '../postgres/session.ts';
import { inOrder } from '../postgres/transaction.ts';
import type { Passed } from './passed.ts';
import { readTuples } from './tuples.ts';

/**
 * Finds the upper key of a set-based chunk, and has `update` write the rows up to it without reading them. `call`
 * gets the chunk, the most rows that it can have, and the key of a single one.
 */
export async function updateSet(
  session: Session,
  shape: SelectShape,
  base: BaseTable,
  guard: GuardedDatabase,
  { after, hi, reach }: { readonly after: Key | null; readonly hi: Key; readonly reach: Reach },
  on: {
    /** Asks for the upper key. */
    readonly read: <T>(asking: () => Promise<T>) => Promise<T>;
    readonly call: (chunk: object, rows: number, key: Key | null) => Promise<unknown>;
  },
): Promise<Passed> {
  const probe = upperBound(shape, base, { after, upTo: hi }, reach);
  const [found, before] = await on.read(() =>
    inOrder([session.query(probe.text, probe.values), readTuples(session, base)]),
  );
  const upper = (found.rows[0]?.['key'] as Key | null | undefined) ?? null;
  const to = upper ?? hi;
  const most = reach.keys ?? reach.rows;
  const nothing = { to, last: upper === null, isFull: false, isCut: false, passed: null };
  if (most === 1 && upper === null) return { ...nothing, rows: 0 };
  const chunk = setBasedChunk(shape, base, guard.builder, { after, upTo: to });
  await on.call(chunk, most, most === 1 ? upper : null);
  refuseChangedKeys(chunk, base);
  const { rows, isCertain } = guard.written();
  const now = isCertain ? before : await readTuples(session, base);
  const tuples = now.updated + now.deleted - before.updated - before.deleted;
  const isFull = upper !== null && reach.keys === null;
  const passed = upper === null ? null : reach.keys;
  return { ...nothing, rows: Math.min(most, Math.max(rows, tuples)), isFull, passed };
}

/** The key at which a set-based chunk ends: the last of so many keys, or of so many that match. */
function upperBound(shape: SelectShape, base: BaseTable, range: KeyRange, { rows, keys }: Reach): Statement {
  return keys === null
    ? nthRow(shape, base, { ...range, limit: rows })
    : upperKey(base, range.after, range.upTo, keys);
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
