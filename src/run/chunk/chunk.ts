import type { Key } from '../../migration/key/key.ts';
import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { type ChunkLimits, mostRows, limitsAtEnd, searchLimitMs } from '../../core/size/chunk-limits.ts';
import type { Overrides } from '../../core/config/steering.ts';
import { UmzugClusterError, fail } from '../../errors.ts';
import type { Owned } from '../../ledger/run/chunks.ts';
import { type GuardedDatabase, guardDatabase } from '../../migration/handle/guard.ts';
import { isSweep } from '../../core/size/sweep.ts';
import { nothingWritten } from '../../migration/handle/written.ts';
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
import { type ChunkWork, chunkContext, isUnread } from '../context/chunk-work.ts';
import { orderOf } from '../order/orders.ts';
import type { Migrated } from './call-update.ts';
import { migrate } from './migrate.ts';
import { type Updates, noWrites, readWriteCounters, updatesSince } from './write-counters.ts';
import { type ChunkWatch, watchChunk } from './watch.ts';

export interface ChunkRequest {
  readonly no: number;
  readonly limits: ChunkLimits;
  /** Rows that it has at most, since more of them are known to hold one that fails; Infinity: nothing is known. */
  readonly most: number;
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

/** `advanced`: committed. `gone`: the range is not open any more. `stopped`: the run is not to continue. */
export type ChunkOutcome =
  | {
      readonly kind: 'advanced';
      readonly rows: number;
      /** What they weigh: as many as they are, unless the author says what each does. */
      readonly weight: number;
      /** Rows that it has changed, in any table, and those that updateRows and deleteRows did not find. */
      readonly changed: number;
      /** Rows of the base table that it has updated, as the server counts them. */
      readonly updates: Updates;
      /** Columns that its statements have set, of whatever table; null: some do not say. */
      readonly columns: readonly string[] | null;
      readonly missing: number;
      /** Rows of the table behind which the cursor has come, whether they match or not. */
      readonly passed: number;
      /** As asked for, or less. */
      readonly limits: ChunkLimits;
      readonly isFull: boolean;
      /** It has fewer rows than were asked for, since they are large or heavy. */
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
  const chunk = new Chunk(session, work, request);
  try {
    const owned = await chunk.open();
    if (owned === 'gone' || owned === 'stopped') return await chunk.abandon(owned);
    const limits = limitsOf(work, request, owned);
    const isDropped = owned.pass < (work.run.plan.droppedPasses ?? 0);
    const done = isDropped ? nothingLeft(owned) : await chunk.migrate(owned, limits);
    const closed = await chunk.close(owned, done);
    if (closed === 'stopped') return await chunk.abandon(closed);
    await chunk.commit();
    return chunk.advanced(owned, limits, { ...done, ...closed });
  } catch (error) {
    return await chunk.failed(error);
  } finally {
    chunk.end();
  }
}

/** What one chunk has come to, from its first statement to its last. */
class Chunk {
  readonly #session: Session;
  readonly #work: ChunkWork;
  readonly #request: ChunkRequest;
  readonly #token = randomUUID();
  readonly #bytesBefore: number;
  readonly #guard: GuardedDatabase;
  readonly #watch: ChunkWatch;
  #startedAt = 0;
  #readMs = 0;
  #isSearching = true;
  #tried: Tried | null = null;

  constructor(session: Session, work: ChunkWork, request: ChunkRequest) {
    this.#session = session;
    this.#work = work;
    this.#request = request;
    this.#bytesBefore = session.bytesRead;
    const { knexConfig, tuning } = work.env;
    this.#guard = guardDatabase(session, knexConfig);
    this.#watch = watchChunk(session, tuning.ceilingMs, request);
  }

  /** Opens the transaction and locks the range; what there is to do in it. */
  async open(): Promise<Owned | 'gone' | 'stopped'> {
    const { run } = this.#work;
    const owned = await openChunk(this.#session, this.#work, this.#request, this.#token);
    // What went before was waiting, which says nothing about the chunk.
    this.#startedAt = performance.now();
    this.#watch.opened();
    if (owned === null) return 'gone';
    return owned.runState === 'running' && owned.epoch === run.epoch ? owned : 'stopped';
  }

  /** Finds and locks the next rows, and has `update` change them. */
  async migrate(owned: Owned, limits: ChunkLimits): Promise<Migrated> {
    const { env } = this.#work;
    const { cursor } = owned;
    this.#tried = { cursor, rows: mostRows(limits, isUnread(this.#work)), key: null };
    const found = async (rows: number, key: Key | null): Promise<unknown> => {
      this.#foundRows();
      this.#tried = { cursor, rows, key };
      return await this.#session.query(timeLimit(env.tuning.statementTimeoutMs));
    };
    const { cache } = this.#request;
    const context = chunkContext(this.#work, owned, { cache, signal: this.#watch.signal });
    const taken = { context, owned, limits, rangeNo: this.#request.no, found };
    const done = await this.#watch.race(migrate(this.#session, this.#work, this.#guard, taken));
    if (this.#isSearching) this.#readMs = this.#sinceStart();
    return done;
  }

  /** Advances the cursor; `stopped` where the run is not to continue. */
  async close(owned: Owned, done: Migrated): Promise<Closed | 'stopped'> {
    const closing = {
      request: this.#request,
      owned,
      token: this.#token,
      done,
      busyMs: this.#sinceStart(),
    };
    return await closeChunk(this.#session, this.#work, closing);
  }

  async commit(): Promise<void> {
    this.#guard.verify();
    await commit(this.#session);
  }

  advanced({ overrides }: Owned, limits: ChunkLimits, done: Omit<Migrated, 'passed'> & Closed): ChunkOutcome {
    const { rows, weight, changed, passed, updates, last, isFull, isCut, written } = done;
    const { bindings, missing } = written;
    const columns = written.updated === null ? null : written.columns;
    const counts = { rows, weight, passed, changed, updates, columns, missing };
    const times = { readMs: this.#readMs, durationMs: this.#sinceStart() };
    const bytes = this.#session.bytesRead - this.#bytesBefore;
    return { kind: 'advanced', ...counts, limits, isFull, isCut, last, ...times, bytes, bindings, overrides };
  }

  /** Rolls back what is not to be done after all. */
  async abandon(kind: 'gone' | 'stopped'): Promise<ChunkOutcome> {
    await rollback(this.#session);
    return { kind };
  }

  /** Rolls back what has failed, and tells what is known of it. */
  async failed(error: unknown): Promise<FailedChunk> {
    const tried = this.#tried;
    const isSearching = this.#isSearching;
    // Known before it is rolled back: author code that still runs finds no transaction afterwards, by no fault of its own.
    const explained = this.#guard.explain(error);
    this.#guard.close();
    const isAccounted = await rollbackTry(this.#session, this.#work, this.#request.no, tried);
    const reason = this.#watch.reason();
    const exceeded = reason !== null;
    // A connection that was destroyed because the chunk took too long says nothing of its rows.
    const isUnreadable =
      !exceeded && isSearching && error instanceof UmzugClusterError && error === this.#session.lost;
    const readable = isUnreadable ? this.#session.rowsTaken : null;
    const cause = reason ?? explained;
    return { kind: 'failed', error: cause, exceeded, isSearching, tried, readable, isAccounted };
  }

  end(): void {
    this.#watch.stop();
    this.#guard.close();
  }

  #foundRows(): void {
    this.#readMs = this.#sinceStart();
    this.#isSearching = false;
  }

  #sinceStart(): number {
    return performance.now() - this.#startedAt;
  }
}

/** The end of a range of a pass that its run does not go over any more. */
function nothingLeft({ hi: to }: Owned): Migrated {
  const end = { to, last: true, isFull: false, isCut: false, passed: null, covered: [] };
  return { ...end, rows: 0, weight: 0, changed: 0, check: null, before: noWrites, written: nothingWritten };
}

/** How many rows and keys a chunk takes: as asked for, within what its range and an operator allow. */
function limitsOf(work: ChunkWork, { limits: asked, most: good }: ChunkRequest, owned: Owned): ChunkLimits {
  const { maxRows, overrides } = owned;
  const { rows, keys, weight, isRough } = limitsAtEnd(asked, owned.isAtEnd ? owned.left : null);
  const most = Math.min(maxRows ?? Infinity, overrides.chunkSize ?? Infinity, good);
  // Where no row is read, keys are what is counted.
  const asKeys = isUnread(work) && (keys !== null || maxRows !== null);
  return {
    rows: Math.min(rows, most),
    ...(weight === undefined ? {} : { weight: Math.min(weight, most) }),
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
    session.query(timeLimit(searchLimitMs(targetMs, env.tuning.statementTimeoutMs, isSweep(run)))),
  ]);
  return owned;
}

/** A chunk that may be committed. */
interface Closed {
  /** Rows of the table by which the cursor was advanced. */
  readonly passed: number;
  readonly updates: Updates;
}

/** Asks what `update` did to its table, closes the guard, and advances the cursor: one round trip, or two. */
async function closeChunk(
  session: Session,
  { env, run, migration }: ChunkWork,
  chunk: { request: ChunkRequest; owned: Owned; token: string; done: Migrated; busyMs: number },
): Promise<Closed | 'stopped'> {
  const { owned, done, request } = chunk;
  const { before, check } = done;
  const ledger = env.ledger(session);
  const closing = session.query(`${emptySearchPath}, ${ledger.runs.passGate(run.id)}`);
  const counters = check === null ? null : readWriteCounters(session, run.plan.base);
  const [, now, , advanced] = await inOrder([
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
      ...orderOf(owned).passed(run.plan, owned, done),
      busyMs: chunk.busyMs,
    }),
  ]);
  if (!advanced.guarded) {
    throw fail('MIGRATION_FAILED', {
      message: `${migration.name}: update ended the transaction of its chunk`,
      hint: 'remove COMMIT and ROLLBACK; throw an error to roll the chunk back',
    });
  }
  if (advanced.moved) return { passed: advanced.passed, updates: updatesSince(before, now ?? before) };
  if (advanced.runState !== 'running' || advanced.epoch !== run.epoch) return 'stopped';
  throw fail('LEDGER_DAMAGED', {
    message: `${migration.name}: the cursor of range ${request.no} moved while its row was locked`,
    hint: 'this is a bug: please report it',
  });
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
