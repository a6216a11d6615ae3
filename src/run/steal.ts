import { middlePlace } from '../core/places.ts';
import { worthStealing } from '../core/reach.ts';
import { lockLargest, markSmall, split } from '../ledger/ranges.ts';
import type { Key, Range, Run } from '../ledger/rows.ts';
import { keyAtOffset, middleKey } from '../migration/key-queries.ts';
import type { BaseTable } from '../migration/key.ts';
import type { Statement } from '../migration/key-sql.ts';
import type { Session } from '../postgres/session.ts';
import { withTransaction } from '../postgres/transaction.ts';
import type { RunEnvironment } from './environment.ts';
import { codeOf } from './failure.ts';

const waitedInVain = new Set(['55P03', '57014']);

// Bounds the index entries read under the victim's lock: 50,000 are read in 5 to 20 ms.
const longestProbe = 50_000;

/** Keys that a chunk of the thief passes, and those that it passes at least when a run ends. */
export interface ChunkKeys {
  readonly keysEach: number;
  readonly leastKeys: number;
}

/**
 * Takes the far part of the range with the most left; false where none is worth it. The owner keeps a few chunks
 * after its cursor, so both parts are strictly smaller and neither is empty.
 */
export async function steal(
  session: Session,
  env: RunEnvironment,
  run: Run,
  { keysEach, leastKeys }: ChunkKeys,
  worker: string,
): Promise<boolean> {
  const attempt = withTransaction(session, env.pinned, async () => {
    const least = worthStealing(keysEach, leastKeys);
    const victim = await lockLargest(session, env.names, run.id, least);
    if (victim === null) return false;
    const { at, kept } = await cut(session, run.plan.base, victim, { keysEach, leastKept: least / 2 });
    const isSmaller = at !== null && JSON.stringify(at) !== JSON.stringify(victim.hi);
    if (!isSmaller) {
      await markSmall(session, env.names, run.id, victim.no);
      return true;
    }
    const estimates = { kept, taken: Math.max(victim.estimated - kept, 0) };
    await split(session, env.names, run.id, victim, at, estimates, worker);
    return true;
  });
  return await attempt.catch((error: unknown) => {
    // Its owner is in a long chunk: that is no failure, only nothing to steal yet.
    if (waitedInVain.has(codeOf(error) ?? '')) return false;
    throw error;
  });
}

/** Where a range is cut, and the keys that its owner keeps by the estimate; null: nowhere. */
async function cut(
  session: Session,
  base: BaseTable,
  { space, cursor, lo, hi, estimated }: Range & { readonly estimated: number },
  { keysEach, leastKept }: { readonly keysEach: number; readonly leastKept: number },
): Promise<{ readonly at: Key | null; readonly kept: number }> {
  const half = Math.floor(estimated / 2);
  const from = cursor ?? lo;
  if (space === 'blocks') {
    const place = middlePlace(from?.[0] ?? null, hi[0] ?? '');
    return { at: place === null ? null : [place], kept: half };
  }
  const first = async ({ text, values }: Statement): Promise<Key | null> =>
    ((await session.query(text, values)).rows[0]?.['key'] as Key | undefined) ?? null;
  // What the probe would leave its owner is soon done where a chunk passes many keys: it would steal it back.
  if (half > longestProbe && keysEach * 2 > longestProbe) {
    const at = await first(middleKey(base, from, hi));
    if (at !== null) return { at, kept: half };
  }
  const kept = Math.min(Math.max(half, Math.ceil(leastKept)), longestProbe);
  return { at: await first(keyAtOffset(base, from, hi, kept)), kept };
}
