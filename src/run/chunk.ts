import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { Overrides } from '../core/steering.ts';
import { fail } from '../errors.ts';
import { type Owned, advance, own } from '../ledger/chunks.ts';
import type { Key } from '../ledger/rows.ts';
import { countKeys } from '../migration/key-queries.ts';
import type { ChunkContext } from '../migration/contract.ts';
import { type GuardedDatabase, guardDatabase } from '../migration/guard.ts';
import type { Session } from '../postgres/session.ts';
import {
  authorSearchPath,
  beginWith,
  commit,
  emptySearchPath,
  inOrder,
  rollback,
} from '../postgres/transaction.ts';
import { selectOfChunk } from './author-select.ts';
import { readBatch, refuseDuplicates } from './batch.ts';
import { type ChunkWork, chunkContext } from './chunk-work.ts';
import { updateSet } from './set.ts';
import { watchChunk } from './watch.ts';

export interface ChunkRequest {
  readonly no: number;
  readonly size: number;
  /** Aborts when the grace of a signal is over. */
  readonly signal: AbortSignal;
}

/** A chunk that was rolled back, or whose connection was destroyed. */
export interface FailedChunk {
  readonly kind: 'failed';
  readonly error: unknown;
  /** It took longer than the ceiling. */
  readonly exceeded: boolean;
  /** Where it stood and how many rows it had at most; null where it did not get so far. */
  readonly tried: Tried | null;
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
      readonly limit: number;
      /** It has fewer rows than were asked for, since they are large. */
      readonly isCut: boolean;
      readonly last: boolean;
      readonly durationMs: number;
      /** Bytes that the server sent: the rows, for the most part. */
      readonly bytes: number;
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
  const watch = watchChunk(session, work.env.tuning.ceilingMs, request);
  try {
    const owned = await openChunk(session, work, request.no, token);
    // What went before was waiting, which says nothing about the chunk.
    const startedAt = performance.now();
    watch.opened();
    if (owned === null) return await giveUp(session, { kind: 'gone' });
    if (owned.runState !== 'running' || owned.epoch !== work.run.epoch) {
      return await giveUp(session, { kind: 'stopped' });
    }
    const { overrides } = owned;
    const most = Math.min(owned.maxRows ?? Infinity, overrides.chunkSize ?? Infinity);
    const limit = Math.max(1, Math.min(request.size, most));
    tried = { cursor: owned.cursor, rows: limit, key: null };
    const trying = (rows: number, key: Key | null): void => {
      tried = { cursor: owned.cursor, rows, key };
    };
    const context = chunkContext(work, owned, watch.signal);
    const done = await watch.race(migrate(session, work, guard, { context, owned, limit, trying }));
    const closed = await closeChunk(session, work, {
      request,
      owned,
      token,
      done,
      busyMs: performance.now() - startedAt,
    });
    if (closed !== 'commit') return await giveUp(session, { kind: closed });
    guard.verify();
    await commit(session);
    const durationMs = performance.now() - startedAt;
    const bytes = session.bytesRead - bytesBefore;
    const { rows, last, isCut = false } = done;
    return { kind: 'advanced', rows, limit: isCut ? rows : limit, isCut, last, durationMs, bytes, overrides };
  } catch (error) {
    await rollback(session);
    const reason = watch.reason();
    return { kind: 'failed', error: reason ?? guard.explain(error), exceeded: reason !== null, tried };
  } finally {
    watch.stop();
    guard.close();
  }
}

/** BEGIN, settings, range lock, guard, and the author's search path: one round trip. */
async function openChunk(
  session: Session,
  { env, run }: ChunkWork,
  no: number,
  token: string,
): Promise<Owned | null> {
  const [, owned] = await inOrder([
    beginWith(session, env.pinned),
    own(session, env.names, run.id, no, token),
    session.query(authorSearchPath(env.searchPath)),
  ]);
  return owned;
}

/** What became of a chunk's rows; `keys`: those that must still exist. */
export interface Migrated {
  readonly rows: number;
  readonly to: Key;
  readonly last: boolean;
  readonly isCut?: boolean;
  readonly keys: readonly Key[];
}

/** The rows that a chunk is to take. */
export interface Taken {
  readonly context: ChunkContext;
  readonly owned: Pick<Owned, 'after' | 'hi'>;
  readonly limit: number;
  /** Is told how many rows there are before `update` gets them. */
  readonly trying: (rows: number, key: Key | null) => void;
}

/**
 * Reads and locks the next rows, and has `update` migrate them. In an open transaction under the author's search
 * path; neither its beginning nor its end is done here, so that a sample can do the same and roll it back.
 */
export async function migrate(
  session: Session,
  work: ChunkWork,
  guard: GuardedDatabase,
  { context, owned, limit, trying }: Taken,
): Promise<Migrated> {
  const { step, migration, run } = work;
  const { base } = run.plan;
  const shape = selectOfChunk(work, guard.builder);
  const what = run.direction === 'up' ? 'update' : 'down.update';
  const expect = { what, allowNoQueries: migration.options.allowNoQueries ?? false };
  if (step.setBased) {
    const update = step.update as (chunk: unknown, db: unknown, context: ChunkContext) => unknown;
    const call = (chunk: unknown): Promise<unknown> =>
      guard.settle(() => update(chunk, guard.db, context), expect);
    const range = { after: owned.after, hi: owned.hi, limit };
    return { ...(await updateSet(session, shape, base, guard, range, { call, trying })), keys: [] };
  }
  const { sizes = [] } = run.plan;
  const bound = sizes.length === 0 ? null : { sizes, maxBytes: work.env.tuning.maxBytes };
  const range = { after: owned.after, upTo: owned.hi, limit };
  const batch = await readBatch(session, shape, base, guard, { range, bound });
  refuseDuplicates(batch.keys, migration.name);
  if (batch.rows.length > 0) {
    trying(batch.rows.length, batch.rows.length === 1 ? (batch.keys[0] ?? null) : null);
    const update = step.update as (db: unknown, rows: object[], context: ChunkContext) => unknown;
    await guard.settle(() => update(guard.db, batch.rows, context), expect);
  }
  return {
    rows: batch.rows.length,
    to: batch.to,
    last: batch.last,
    isCut: batch.isCut,
    keys: migration.options.allowDelete === true ? [] : batch.keys,
  };
}

/** Counts the locked keys again, closes the guard, advances the cursor: one round trip. */
async function closeChunk(
  session: Session,
  { env, run, migration }: ChunkWork,
  chunk: { request: ChunkRequest; owned: Owned; token: string; done: Migrated; busyMs: number },
): Promise<'commit' | 'stopped'> {
  const { owned, done, request } = chunk;
  const recount = done.keys.length === 0 ? null : countKeys(run.plan.base, done.keys);
  const [, counted, advanced] = await inOrder([
    session.query(emptySearchPath),
    recount === null ? null : session.query(recount.text, recount.values),
    advance(session, env.names, {
      runId: run.id,
      no: request.no,
      token: chunk.token,
      epoch: run.epoch,
      from: owned.cursor,
      to: done.to,
      last: done.last,
      rows: done.rows,
      passed: done.rows,
      busyMs: chunk.busyMs,
    }),
  ]);
  const left = counted === null ? done.keys.length : Number(counted.rows[0]?.['count']);
  refuseMovedKeys(migration.name, done.keys.length - left);
  if (!advanced.guarded) {
    throw fail('MIGRATION_FAILED', {
      message: `${migration.name}: update ended the transaction of its chunk`,
      hint: 'remove COMMIT and ROLLBACK; throw an error to roll the chunk back',
    });
  }
  if (advanced.moved) return 'commit';
  if (advanced.runState !== 'running' || advanced.epoch !== run.epoch) return 'stopped';
  throw fail('LEDGER_DAMAGED', {
    message: `${migration.name}: the cursor of range ${request.no} moved while its row was locked`,
    hint: 'this is a bug: please report it',
  });
}

/** Refuses an `update` after which so many of its rows' keys are not there any more. */
export function refuseMovedKeys(name: string, moved: number): void {
  if (moved === 0) return;
  throw fail('MIGRATION_FAILED', {
    message: `${name}: update moved or deleted ${moved} of its rows' keys`,
    hint: 'choose a key that update does not change, or set options.allowDelete',
  });
}

async function giveUp<Outcome>(session: Session, outcome: Outcome): Promise<Outcome> {
  await rollback(session);
  return outcome;
}
