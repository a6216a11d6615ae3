import { lockLargest, markSmall, split } from '../ledger/ranges.ts';
import type { Run } from '../ledger/rows.ts';
import { keyAtOffset } from '../migration/key-queries.ts';
import type { Session } from '../postgres/session.ts';
import { withTransaction } from '../postgres/transaction.ts';
import type { RunEnvironment } from './environment.ts';
import { codeOf } from './failure.ts';

const waitedInVain = new Set(['55P03', '57014']);

// Stealing less than this many chunks costs more than it brings.
const smallestInChunks = 4;

// Bounds the index entries read under the victim's lock: 50,000 are read in 5 to 20 ms.
const longestProbe = 50_000;

/**
 * Takes the far part of the range with the most left; false where none is worth it. The owner keeps a few
 * chunks after its cursor, so both parts are strictly smaller and neither is empty.
 */
export async function steal(
  session: Session,
  env: RunEnvironment,
  run: Run,
  chunkSize: number,
  worker: string,
): Promise<boolean> {
  const attempt = withTransaction(session, env.pinned, async () => {
    const victim = await lockLargest(session, env.names, run.id, chunkSize * smallestInChunks);
    if (victim === null) return false;
    const half = Math.floor(victim.estimated / 2);
    const offset = Math.min(Math.max(half, chunkSize * 2), longestProbe);
    const probe = keyAtOffset(run.plan.base, victim.cursor ?? victim.lo, victim.hi, offset);
    const at = (await session.query(probe.text, probe.values)).rows[0]?.['key'] as string[] | undefined;
    const isSmaller = at !== undefined && JSON.stringify(at) !== JSON.stringify(victim.hi);
    if (!isSmaller) {
      await markSmall(session, env.names, run.id, victim.no);
      return true;
    }
    const estimates = { kept: offset, taken: Math.max(victim.estimated - offset, 0) };
    await split(session, env.names, run.id, victim, at, estimates, worker);
    return true;
  });
  return await attempt.catch((error: unknown) => {
    // Its owner is in a long chunk: that is no failure, only nothing to steal yet.
    if (waitedInVain.has(codeOf(error) ?? '')) return false;
    throw error;
  });
}
