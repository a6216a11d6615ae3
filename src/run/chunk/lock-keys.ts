import type { Key } from '../../ledger/run/rows.ts';
import {
  type ByteBound,
  type ChunkRange,
  fittingKeys,
  lockKeys,
  pickKeys,
} from '../../migration/chunk/queries.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import type { Statement } from '../../migration/key/sql.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import type { Session } from '../../postgres/session.ts';

/** The base rows of a chunk: what the author's query gave for the range, and what of it is locked. */
export interface PickedRows {
  readonly picked: readonly Key[];
  /** Those of `picked` that were still there when they were locked. */
  readonly locked: readonly Key[];
  /** The range has no rows behind them. */
  readonly last: boolean;
  /** They are fewer than there might be, since their rows are large. */
  readonly isCut: boolean;
}

/**
 * Picks the next keys of any select and locks their base rows: two statements. Where a key is gone in between,
 * its row was deleted, or has moved to another partition under another key, maybe one of this chunk: picks anew.
 * What is locked stays; a row that moves away twice ends it.
 */
export async function pickAndLock(
  session: Session,
  shape: SelectShape,
  base: BaseTable,
  range: ChunkRange,
  bound: ByteBound | null,
): Promise<PickedRows> {
  const gone = new Set<string>();
  for (;;) {
    const all = await keysOf(session, pickKeys(shape, base, range));
    const picked = bound === null ? all : await fittingOf(session, shape, base, all, bound);
    const locked = picked.length === 0 ? [] : await keysOf(session, lockKeys(base, picked));
    const there = new Set(locked.map((key) => JSON.stringify(key)));
    const missing = picked.map((key) => JSON.stringify(key)).filter((key) => !there.has(key));
    if (missing.length === 0 || missing.some((key) => gone.has(key))) {
      const isCut = picked.length < all.length;
      return { picked, locked, last: all.length < range.limit && !isCut, isCut };
    }
    for (const key of missing) gone.add(key);
  }
}

/** The first of these keys, at least one, whose rows fit together. */
async function fittingOf(
  session: Session,
  shape: SelectShape,
  base: BaseTable,
  keys: readonly Key[],
  bound: ByteBound,
): Promise<readonly Key[]> {
  if (keys.length === 0) return keys;
  const [fitting] = await keysOf(session, fittingKeys(shape, base, keys, bound));
  const end = JSON.stringify(fitting);
  const index = keys.findIndex((key) => JSON.stringify(key) === end);
  return keys.slice(0, Math.max(1, index + 1));
}

async function keysOf(session: Session, { text, values }: Statement): Promise<readonly Key[]> {
  return (await session.query(text, values)).rows.map((row) => row['key'] as Key);
}
