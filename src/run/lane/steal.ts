import { codeOf } from '../../errors.ts';
import { worthStealing } from '../../core/size/chunk-limits.ts';
import type { Run } from '../../ledger/run/rows.ts';
import type { Session } from '../../postgres/session.ts';
import { withTransaction } from '../../postgres/transaction.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { orderOf } from '../order/orders.ts';

const waitedInVain = new Set(['55P03', '57014']);

/** Who steals: the keys that its chunk passes, and those that it passes at least when a run ends. */
export interface Thief {
  readonly worker: string;
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
  { worker, keysEach, leastKeys }: Thief,
): Promise<boolean> {
  const { ranges } = env.ledger(session);
  const attempt = withTransaction(session, env.pinned, async () => {
    const least = worthStealing(keysEach, leastKeys);
    const victim = await ranges.lockLargest(run.id, least);
    if (victim === null) return false;
    const { at, kept } = await orderOf(victim).cut(session, run.plan, victim, least / 2);
    const isSmaller = at !== null && JSON.stringify(at) !== JSON.stringify(victim.hi);
    if (!isSmaller) {
      await ranges.markSmall(run.id, victim.no, least / 2);
      return true;
    }
    const estimates = { kept, taken: Math.max(victim.estimated - kept, 0) };
    await ranges.split(run.id, victim, { at, ...estimates }, worker);
    return true;
  });
  return await attempt.catch((error: unknown) => {
    // Its owner is in a long chunk: that is no failure, only nothing to steal yet.
    if (waitedInVain.has(codeOf(error) ?? '')) return false;
    throw error;
  });
}
