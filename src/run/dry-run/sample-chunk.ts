import { type Key, isKeyless } from '../../migration/key/key.ts';
import { guardDatabase } from '../../migration/handle/guard.ts';
import type { Session } from '../../postgres/session.ts';
import { beginWith, inOrder, rollback, underAuthorPath } from '../../postgres/transaction.ts';
import { selectOfChunk } from '../analyze/author-select.ts';
import { type ChunkWork, chunkContext } from '../context/chunk-work.ts';
import type { Migrated } from '../chunk/call-update.ts';
import { boundOf, migrate } from '../chunk/migrate.ts';
import { watchChunk } from '../chunk/watch.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { type PickedRows, pickAndLock } from '../chunk/batch.ts';
import { chunkEnd } from '../order/orders.ts';
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
): Promise<Pick<PickedRows, 'locked' | 'last'>> {
  const { base } = work.run.plan;
  // So many rows, and no groups of thousands of them.
  const space = 'keys';
  const end =
    base.isGrouped === true
      ? await chunkEnd(session, work.run.plan, { space, after: place.after, hi: place.upTo }, { keys: limit })
      : { upTo: place.upTo, isLast: true };
  const guard = guardDatabase(session, work.env.knexConfig);
  const shape = selectOfChunk(work, guard.builder);
  // Light rows are enough to tell; one that is heavy stands for many of another table.
  const bound = work.run.plan.weight === undefined ? null : boundOf(work, guard, { weight: mostWeight });
  const pick = (): ReturnType<typeof pickAndLock> =>
    pickAndLock(session, { shape, base, range: { ...place, upTo: end.upTo, limit }, bound });
  const found = await underAuthorPath(session, work.env.searchPath, pick);
  return { locked: found.locked, last: found.last && end.isLast };
}

const mostWeight = 100;

export interface Applying {
  /** Most rows; of a set-based chunk, most rows of the table, matching or not. */
  readonly limit: number;
  /** What they may weigh, where they are weighed. */
  readonly weight?: number;
  readonly signal: AbortSignal;
  /** The cursor by which `update` knows the chunk, where that is not its own. */
  readonly named?: Key | null;
}

/** The chunk itself, by the product's own path, with the checks at its end. */
export async function applied(
  session: Session,
  work: ChunkWork,
  { after, upTo }: Place,
  { limit, weight, signal, named = after }: Applying,
): Promise<Pick<Migrated, 'rows' | 'weight' | 'covered'> & { readonly missing: number }> {
  const guard = guardDatabase(session, work.env.knexConfig);
  try {
    const space = isKeyless(work.run.plan.base) ? ('blocks' as const) : ('keys' as const);
    const owned = { space, after, hi: upTo, attempt: 1 };
    const context = chunkContext(work, { ...owned, after: named }, { cache: new Map(), signal });
    const limits = {
      rows: limit,
      keys: goesByKeys(work) && weight === undefined ? limit : null,
      ...(weight === undefined ? {} : { weight }),
    };
    const found = (): Promise<void> => Promise.resolve();
    const {
      check,
      written,
      rows,
      weight: weighs,
      covered,
    } = await underAuthorPath(session, work.env.searchPath, () =>
      migrate(session, work, guard, { context, owned, limits, rangeNo: 1, found }),
    );
    session.onStatement = null;
    guard.verify();
    const counters = readWriteCounters(session, work.run.plan.base);
    await inOrder([counters, check?.(counters)]);
    return { rows, weight: weighs, covered, missing: written.missing };
  } catch (error) {
    throw guard.explain(error);
  } finally {
    guard.close();
  }
}

/** The limit for all matching rows of a place, of which there are `rows`. */
export function limitFor(work: ChunkWork, rows: number): number {
  return goesByKeys(work) ? wholePlace : rows;
}

/** Whether chunks end at a number of rows of the table, matching or not. */
export function goesByKeys({ step, run }: ChunkWork): boolean {
  return step.setBased || run.plan.base.isGrouped === true;
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
    // The transaction around it is forbidden to commit already.
    if (!session.isEnclosed) await env.ledger(session).chunks.forbidCommit(env.ledgerSchema);
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
