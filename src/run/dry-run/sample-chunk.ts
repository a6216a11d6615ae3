import type { Key } from '../../migration/key/key.ts';
import { guardDatabase } from '../../migration/handle/guard.ts';
import type { Session } from '../../postgres/session.ts';
import { beginWith, inOrder, rollback, underAuthorPath } from '../../postgres/transaction.ts';
import { selectOfChunk } from '../analyze/author-select.ts';
import { type ChunkWork, chunkContext } from '../context/chunk-work.ts';
import { migrate } from '../chunk/migrate.ts';
import { watchChunk } from '../chunk/watch.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { pickAndLock } from '../chunk/batch.ts';
import { readWriteCounters } from '../chunk/write-counters.ts';

/** A part of the table: the first rows after `after` that match, at most up to `upTo`. */
export interface Place {
  readonly after: Key | null;
  readonly upTo: Key;
}

/** Finds and locks the rows, so that what is compared with them afterwards is nobody else's doing. */
export async function nextKeys(
  session: Session,
  work: ChunkWork,
  place: Place,
  limit: number,
): Promise<readonly Key[]> {
  const { base } = work.run.plan;
  const guard = guardDatabase(session, work.env.knexConfig);
  const shape = selectOfChunk(work, guard.builder);
  const pick = (): ReturnType<typeof pickAndLock> =>
    pickAndLock(session, { shape, base, range: { ...place, limit }, bound: null });
  return (await underAuthorPath(session, work.env.searchPath, pick)).locked;
}

export interface Applying {
  /** Most rows; of a set-based chunk, most rows of the table, matching or not. */
  readonly limit: number;
  readonly signal: AbortSignal;
  /** The cursor by which `update` knows the chunk, where that is not its own. */
  readonly named?: Key | null;
}

/** The chunk itself, by the product's own path, with the checks at its end. */
export async function applied(
  session: Session,
  work: ChunkWork,
  { after, upTo }: Place,
  { limit, signal, named = after }: Applying,
): Promise<{ readonly rows: number; readonly missing: number }> {
  const guard = guardDatabase(session, work.env.knexConfig);
  try {
    const owned = { space: 'keys' as const, after, hi: upTo, attempt: 1 };
    const context = chunkContext(work, { ...owned, after: named }, { cache: new Map(), signal });
    const limits = { rows: limit, keys: work.step.setBased ? limit : null };
    const found = (): Promise<void> => Promise.resolve();
    const { check, written, rows } = await underAuthorPath(session, work.env.searchPath, () =>
      migrate(session, work, guard, { context, owned, limits, found }),
    );
    session.onStatement = null;
    guard.verify();
    const counters = readWriteCounters(session, work.run.plan.base);
    await inOrder([counters, check?.(counters)]);
    return { rows, missing: written.missing };
  } catch (error) {
    throw guard.explain(error);
  } finally {
    guard.close();
  }
}

/** The limit for all matching rows of a place, of which there are `rows`. */
export function limitFor(work: ChunkWork, rows: number): number {
  return work.step.setBased ? wholePlace : rows;
}

// A set-based chunk counts the rows of the table: more than a place can have.
const wholePlace = 1e9;

/**
 * Begins a transaction as a chunk does, does `work` in it within a chunk's ceiling, and rolls it back. Nobody can commit
 * it. `work` is given a signal that aborts when it is abandoned.
 */
export async function rolledBack<T>(
  session: Session,
  env: RunEnvironment,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const watch = watchChunk(session, env.tuning.ceilingMs, { no: 1, signal: new AbortController().signal });
  try {
    await beginWith(session, env.pinned);
    watch.opened();
    await env.ledger(session).chunks.forbidCommit(env.ledgerSchema);
    return await watch.race(work(watch.signal));
  } catch (error) {
    throw watch.reason() ?? error;
  } finally {
    watch.stop();
    session.onStatement = null;
    await rollback(session);
  }
}

/** Does `work` and rolls it back. */
export async function inSavepoint<T>(session: Session, work: () => Promise<T>): Promise<T> {
  await session.query('savepoint umzug_cluster_sample');
  try {
    return await work();
  } finally {
    if (session.usable) await session.query('rollback to savepoint umzug_cluster_sample');
  }
}
