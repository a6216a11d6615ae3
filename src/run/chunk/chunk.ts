import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { nextBlock } from '../../core/size/places.ts';
import { type ChunkLimits, mostRows, limitsAtEnd, searchLimitMs } from '../../core/size/chunk-limits.ts';
import type { Overrides } from '../../core/config/steering.ts';
import { keysBetween, stepOf } from '../../core/size/survey.ts';
import { UmzugClusterError, fail } from '../../errors.ts';
import { type Bounds, type Owned, boundsFrom } from '../../ledger/run/chunks.ts';
import type { Key, RunPlan } from '../../ledger/run/rows.ts';
import { countUpTo } from '../../migration/key/queries.ts';
import { guardDatabase } from '../../migration/handle/guard.ts';
import type { Session } from '../../postgres/session.ts';
import {
  authorSearchPath,
  beginWith,
  commit,
  emptySearchPath,
  inOneTrip,
  inOrder,
  rollback,
  setLocal,
} from '../../postgres/transaction.ts';
import { type ChunkWork, chunkContext } from '../context/chunk-work.ts';
import { type Migrated, migrate } from './migrate.ts';
import type { Step } from '../context/step.ts';
import { readWriteCounters } from './write-counters.ts';
import { watchChunk } from './watch.ts';

export interface ChunkRequest {
  readonly no: number;
  readonly limits: ChunkLimits;
  readonly targetMs: number;
  /** Aborts when the grace of a signal is over. */
  readonly signal: AbortSignal;
  /** What author code keeps for the next chunk. */
  readonly cache: Map<unknown, unknown>;
}

/** A chunk that was rolled back, or whose connection was destroyed. */
export interface FailedChunk {
  readonly kind: 'failed';
  readonly error: unknown;
  /** It took longer than the ceiling. */
  readonly exceeded: boolean;
  /** It was still looking for its rows: `update` was not called. */
  readonly isSearching: boolean;
  /** Where it stood and how many rows it had at most; null where it did not get so far. */
  readonly tried: Tried | null;
  /** So many of its rows could be read, and the next one cannot; null: that is not known. */
  readonly readable: number | null;
  /** Its claim is accounted for in the ledger: whoever takes the range up next counts no death. */
  readonly isAccounted: boolean;
}

/** What a chunk is about to change. `key`: of its only row, where it is known to have just one. */
export interface Tried {
  readonly cursor: Key | null;
  readonly rows: number;
  readonly key: Key | null;
}

/** `advanced`: committed. `gone`: the range is not open any more. `stopped`: the run is not to go on. */
export type ChunkOutcome =
  | {
      readonly kind: 'advanced';
      readonly rows: number;
      /** Rows that it has changed, in any table, and those that updateRows did not find. */
      readonly changed: number;
      readonly missing: number;
      /** Rows of the table behind which the cursor has come, whether they match or not. */
      readonly passed: number;
      /** As asked for, or less. */
      readonly limits: ChunkLimits;
      readonly isFull: boolean;
      /** It has fewer rows than were asked for, since they are large. */
      readonly isCut: boolean;
      readonly last: boolean;
      /** Until its rows were found. */
      readonly readMs: number;
      readonly durationMs: number;
      /** Bytes that the server sent: the rows, for the most part. */
      readonly bytes: number;
      /** Of its largest statement. */
      readonly bindings: number;
      /** What an operator had set as the chunk began. */
      readonly overrides: Overrides;
    }
  | FailedChunk
  | { readonly kind: 'gone' }
  | { readonly kind: 'stopped' };

/**
 * One chunk: one transaction on one connection (protocol steps T3.1 to T3.9). Never rejects: where it fails,
 * the transaction was rolled back, or its connection destroyed.
 */
export async function runChunk(
  session: Session,
  work: ChunkWork,
  request: ChunkRequest,
): Promise<ChunkOutcome> {
  const bytesBefore = session.bytesRead;
  const token = randomUUID();
  const guard = guardDatabase(session, work.env.knexConfig);
  let tried: Tried | null = null;
  let isSearching = true;
  const watch = watchChunk(session, work.env.tuning.ceilingMs, request);
  try {
    const owned = await openChunk(session, work, request, token);
    // What went before was waiting, which says nothing about the chunk.
    const startedAt = performance.now();
    watch.opened();
    if (owned === null) return await giveUp(session, { kind: 'gone' });
    if (owned.runState !== 'running' || owned.epoch !== work.run.epoch) {
      return await giveUp(session, { kind: 'stopped' });
    }
    const { overrides } = owned;
    const wanted = limitsAtEnd(request.limits, owned.isAtEnd ? owned.left : null);
    const limits = within(wanted, work.step, owned);
    tried = { cursor: owned.cursor, rows: mostRows(limits, work.step.setBased), key: null };
    let readMs = 0;
    const found = async (rows: number, key: Key | null): Promise<unknown> => {
      readMs = performance.now() - startedAt;
      isSearching = false;
      tried = { cursor: owned.cursor, rows, key };
      return await session.query(timeLimit(work.env.tuning.statementTimeoutMs));
    };
    const { cache } = request;
    const context = chunkContext(work, owned, { cache, signal: watch.signal });
    const done = await watch.race(migrate(session, work, guard, { context, owned, limits, found }));
    if (isSearching) readMs = performance.now() - startedAt;
    const busyMs = performance.now() - startedAt;
    const closed = await closeChunk(session, work, { request, owned, token, done, busyMs });
    if (closed === 'stopped') return await giveUp(session, { kind: closed });
    guard.verify();
    await commit(session);
    const durationMs = performance.now() - startedAt;
    const bytes = session.bytesRead - bytesBefore;
    const { rows, changed, last, isFull, isCut } = done;
    const times = { readMs, durationMs };
    const { bindings } = done.written;
    const { missing } = done.written;
    const counts = { rows, passed: closed, changed, missing };
    return { kind: 'advanced', ...counts, limits, isFull, isCut, last, ...times, bytes, bindings, overrides };
  } catch (error) {
    const isAccounted = await rollbackTry(session, work, request.no, tried);
    const reason = watch.reason();
    const exceeded = reason !== null;
    // A connection that was destroyed because the chunk took too long says nothing of its rows.
    const isUnreadable =
      !exceeded && isSearching && error instanceof UmzugClusterError && error === session.lost;
    const readable = isUnreadable ? session.rowsTaken : null;
    const cause = reason ?? guard.explain(error);
    return { kind: 'failed', error: cause, exceeded, isSearching, tried, readable, isAccounted };
  } finally {
    watch.stop();
    guard.close();
  }
}

/** The reach of a chunk in a range that may have no more than so many rows at a time; where none is read, keys. */
function within(
  { rows, keys, isRough }: ChunkLimits,
  { setBased }: Step,
  { maxRows, overrides }: Owned,
): ChunkLimits {
  const most = Math.min(maxRows ?? Infinity, overrides.chunkSize ?? Infinity);
  const asKeys = setBased && (keys !== null || maxRows !== null);
  return {
    rows: Math.min(rows, most),
    keys: asKeys ? Math.min(keys ?? Infinity, most) : keys,
    isRough: isRough === true && most === Infinity,
  };
}

function timeLimit(ms: number): string {
  return setLocal([['statement_timeout', `${ms}ms`]]);
}

/** BEGIN, settings, range lock, guard, the author's search path, the search's time limit: one round trip. */
async function openChunk(
  session: Session,
  { env, run }: ChunkWork,
  { no, targetMs }: ChunkRequest,
  token: string,
): Promise<Owned | null> {
  const [, owned] = await inOrder([
    beginWith(session, env.pinned),
    env.ledger(session).chunks.lockRange(run.id, no, token),
    session.query(authorSearchPath(env.searchPath)),
    session.query(timeLimit(searchLimitMs(targetMs, env.tuning.statementTimeoutMs, run.pass))),
  ]);
  return owned;
}

/** Asks what `update` did to its table, closes the guard, advances the cursor, by how much it returns: one round trip, or two. */
async function closeChunk(
  session: Session,
  { env, run, migration }: ChunkWork,
  chunk: { request: ChunkRequest; owned: Owned; token: string; done: Migrated; busyMs: number },
): Promise<number | 'stopped'> {
  const ledger = env.ledger(session);
  const { owned, done, request } = chunk;
  const { check } = done;
  const closing = session.query(`${emptySearchPath}, ${ledger.runs.passGate(run.id)}`);
  const counters = check === null ? null : readWriteCounters(session, run.plan.base);
  const [, , , advanced] = await inOrder([
    closing,
    counters,
    counters === null ? null : check?.(counters),
    ledger.chunks.advance({
      runId: run.id,
      no: request.no,
      token: chunk.token,
      epoch: run.epoch,
      from: owned.cursor,
      to: done.to,
      last: done.last,
      rows: done.rows,
      ...passedBy(run.plan, owned, done),
      busyMs: chunk.busyMs,
    }),
  ]);
  if (!advanced.guarded) {
    throw fail('MIGRATION_FAILED', {
      message: `${migration.name}: update ended the transaction of its chunk`,
      hint: 'remove COMMIT and ROLLBACK; throw an error to roll the chunk back',
    });
  }
  if (advanced.moved) return advanced.passed;
  if (advanced.runState !== 'running' || advanced.epoch !== run.epoch) return 'stopped';
  throw fail('LEDGER_DAMAGED', {
    message: `${migration.name}: the cursor of range ${request.no} moved while its row was locked`,
    hint: 'this is a bug: please report it',
  });
}

/** How far a chunk has gone: over so many blocks, or over so many keys as it counted, within what the survey says. */
function passedBy(
  { base, survey, rowsPerBlock = 1 }: RunPlan,
  { space, after, at, left }: Owned,
  done: Migrated,
): { readonly passed: number; readonly bounds: Bounds | null } {
  if (space === 'blocks') {
    const blocks = nextBlock(done.to[0] ?? null) - nextBlock(after?.[0] ?? null);
    return { passed: blocks * rowsPerBlock, bounds: null };
  }
  const passed = done.passed ?? done.rows;
  if (survey === undefined) return { passed, bounds: null };
  const { first, keys } = keysBetween(survey, at, at + left);
  if (keys.length === 0) return { passed, bounds: null };
  const step = stepOf(survey);
  const count = countUpTo(base, keys, done.to, boundsFrom);
  return { passed, bounds: { count, step, offset: at - first * step } };
}

/** Rolls a failed try back, and accounts for its claim in the same trip; whether it is accounted for. */
async function rollbackTry(
  session: Session,
  { env, run }: ChunkWork,
  no: number,
  tried: Tried | null,
): Promise<boolean> {
  let isAccounted = false;
  const account = async (cursor: Key | null): Promise<void> => {
    isAccounted = await inOneTrip(session, env.pinned, () =>
      env.ledger(session).failures.accountFor({ runId: run.id, no, cursor }),
    );
  };
  await rollback(session, tried === null ? undefined : () => account(tried.cursor));
  return isAccounted;
}

async function giveUp<Outcome>(session: Session, outcome: Outcome): Promise<Outcome> {
  await rollback(session);
  return outcome;
}
