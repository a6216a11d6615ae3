import { forbidCommit } from '../../ledger/look/sample-guard.ts';
import type { Session } from '../../postgres/session.ts';
import { beginWith, rollback } from '../../postgres/transaction.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { watchChunk } from '../chunk/watch.ts';

/** A transaction that ends in a rollback, whatever happens in it. */
export interface Trial {
  /** Aborts when it is given up. */
  readonly signal: AbortSignal;
}

/**
 * Begins a transaction as a chunk does, does `work` in it within a chunk's ceiling, and rolls it back. Nobody can commit
 * it.
 */
export async function rolledBack<T>(
  session: Session,
  env: RunEnvironment,
  work: (trial: Trial) => Promise<T>,
): Promise<T> {
  const watch = watchChunk(session, env.tuning.ceilingMs, { no: 1, signal: new AbortController().signal });
  try {
    await beginWith(session, env.pinned);
    watch.opened();
    await forbidCommit(session, env.names, env.ledgerSchema);
    return await watch.race(work({ signal: watch.signal }));
  } catch (error) {
    throw watch.reason() ?? error;
  } finally {
    watch.stop();
    session.onStatement = null;
    await rollback(session);
  }
}
