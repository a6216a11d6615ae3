import type { Session } from '../../postgres/session.ts';
import { inOneTrip } from '../../postgres/transaction.ts';
import type { ChunkWork } from '../context/chunk-work.ts';

// Often enough for a run that waits, rare enough to cost nothing.
const everyMs = 1_000;

// A living process gives its chunk up at the ceiling; only what is left after that is reaped.
const marginMs = 2_000;

/**
 * Ends transactions that hold a range for longer than any chunk may take (protocol T6). A backend that is
 * blocked in sending rows to a stopped client heeds neither the statement timeout nor the idle timeout. At
 * most once a second: `clock` is shared by the lanes of a process.
 */
export async function reap(session: Session, work: ChunkWork, clock: { nextReapAt: number }): Promise<void> {
  const now = performance.now();
  if (now < clock.nextReapAt) return;
  clock.nextReapAt = now + everyMs;
  const { env, run, logger } = work;
  const olderThanMs = env.tuning.ceilingMs + marginMs;
  const find = (): Promise<readonly number[]> =>
    env.ledger(session).blockers.endOldHolders(run.id, olderThanMs);
  for (const pid of await inOneTrip(session, env.pinned, find)) {
    const message = `terminated the transaction of pid ${pid}, which held a range for longer than ceilingMs`;
    logger.warn({ event: 'range.reaped', migration: run.name, backend: pid }, message);
  }
}
