import { firstChunkSize, nextChunkSize } from '../core/chunk-size.ts';
import { afterDeaths, reasonToStop, recentResults, rowsAfterFailure } from '../core/isolation.ts';
import { messageOf } from '../errors.ts';
import { failureFacts, recordFailure, shrinkRange } from '../ledger/quarantine.ts';
import { type ClaimedRange, claim, totals } from '../ledger/ranges.ts';
import type { Session } from '../postgres/session.ts';
import { type ChunkOutcome, type ChunkWork, type FailedChunk, runChunk } from './chunk.ts';
import { codeOf, stopping, verdictOf } from './failure.ts';
import { type Suspect, quarantineNext } from './isolate.ts';
import { reap } from './reap.ts';
import { RetryingSession } from './retrying-session.ts';
import { steal } from './steal.ts';

/** What a lane tells after each committed chunk. */
export interface ChunkReport {
  readonly rows: number;
  readonly size: number;
  readonly durationMs: number;
  /** The chunk came back full: there is more to do. */
  readonly full: boolean;
}

/** What the lanes of a process share. */
export interface LaneProgress {
  /** When the run last made progress here. */
  lastAt: number;
  /** When stuck holders of ranges are looked for again. */
  nextReapAt: number;
  /** The latest results: true for a committed chunk, false for a row that was set aside. */
  readonly recent: boolean[];
}

export interface LaneOptions {
  readonly work: ChunkWork;
  /** `host:pid:lane`, shown in the ledger. */
  readonly worker: string;
  /** Aborts when no further chunk is to begin. */
  readonly drain: AbortSignal;
  /** Aborts when running chunks are to be destroyed. */
  readonly abort: AbortSignal;
  readonly onChunk: (report: ChunkReport) => void;
  readonly progress: LaneProgress;
}

const idlePollMs = 100;

/**
 * Works on a run until no range is open, the run is stopped, or `drain` aborts: claim a range, or steal
 * part of one, then chunk after chunk. Rejects with what stops the run.
 */
export async function runLane(options: LaneOptions): Promise<void> {
  const lane = new Lane(options);
  try {
    await lane.loop();
  } finally {
    await lane.close();
  }
}

class Lane {
  readonly #options: LaneOptions;
  readonly #session: RetryingSession;
  #size: number;
  /** The range whose last chunk ran into the statement timeout: the next time it has fewer rows. */
  #timedOut: number | null = null;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#session = new RetryingSession(options.work.env, options.drain, options.progress);
    const { env, run } = options.work;
    this.#size = this.#fixedSize() ?? firstChunkSize(run.plan.base.rowBytes, env.tuning.maxBytes);
  }

  async loop(): Promise<void> {
    while (!this.#options.drain.aborted) {
      const next = await this.#session.use((session) => this.#findRange(session));
      if (next === 'finished') return;
      if (next === 'idle') await this.#session.idle(idlePollMs);
      else if ((await this.#workRange(next)) === 'stopped') return;
    }
  }

  async close(): Promise<void> {
    await this.#session.close();
  }

  #fixedSize(): number | null {
    const { migration, env } = this.#options.work;
    return env.tuning.chunkSize ?? migration.options.chunkSize ?? null;
  }

  async #findRange(session: Session): Promise<ClaimedRange | 'idle' | 'finished'> {
    const { work, worker } = this.#options;
    const range = await claim(session, work.env.names, work.run.id, worker);
    if (range !== null) return range;
    const { rangesOpen } = await totals(session, work.env.names, work.run.id);
    if (rangesOpen === 0) return 'finished';
    await reap(session, work, this.#options.progress);
    await steal(session, work.env, work.run, this.#size, worker);
    return (await claim(session, work.env.names, work.run.id, worker)) ?? 'idle';
  }

  async #workRange(range: ClaimedRange): Promise<'next' | 'stopped'> {
    const { drain } = this.#options;
    if (await this.#isKilling(range)) return 'next';
    let isProbe = range.onlyFailed;
    while (!drain.aborted) {
      const outcome = await this.#tryChunk(range.no, isProbe ? 1 : this.#size);
      if (outcome.kind === 'stopped') return 'stopped';
      if (outcome.kind === 'gone') return 'next';
      if (outcome.kind === 'failed') {
        await this.#failed(range.no, outcome);
        return 'next';
      }
      this.#succeeded(outcome);
      isProbe = false;
      if (outcome.last) return 'next';
    }
    return 'next';
  }

  async #tryChunk(no: number, size: number): Promise<ChunkOutcome> {
    const { work, abort } = this.#options;
    try {
      const outcome = await runChunk(await this.#session.connected(), work, { no, size, signal: abort });
      if (outcome.kind === 'failed' && abort.aborted) throw outcome.error;
      return outcome;
    } catch (error) {
      if (abort.aborted) throw error;
      return { kind: 'failed', error, exceeded: false, tried: null };
    }
  }

  #succeeded(outcome: Extract<ChunkOutcome, { kind: 'advanced' }>): void {
    const { work, onChunk } = this.#options;
    this.#session.succeeded();
    this.#timedOut = null;
    this.#progressed(true);
    const full = !outcome.last;
    onChunk({ rows: outcome.rows, size: outcome.limit, durationMs: outcome.durationMs, full });
    // A chunk that was held small says nothing about a large one.
    if (full && outcome.limit < this.#size) return;
    const { tuning } = work.env;
    this.#size =
      this.#fixedSize() ??
      nextChunkSize({
        current: this.#size,
        rows: full ? outcome.limit : outcome.rows,
        durationMs: outcome.durationMs,
        targetMs: work.migration.options.targetMs ?? tuning.targetMs,
        maxRows: tuning.maxRows,
        bytes: outcome.bytes,
        maxBytes: tuning.maxBytes,
      });
  }

  #progressed(isCommitted: boolean): void {
    const { progress } = this.#options;
    progress.lastAt = performance.now();
    progress.recent.push(isCommitted);
    if (progress.recent.length > recentResults) progress.recent.shift();
  }

  /** Gives a failed range back: to be tried again later, or with fewer rows. Throws what must stop the run. */
  async #failed(no: number, failure: FailedChunk): Promise<void> {
    const { error } = failure;
    const verdict = verdictOf(failure, this.#session.current);
    if (verdict === 'stop') {
      await this.#record(no, error, { maxRows: null, waitMs: 0, transient: false });
      throw stopping(error, this.#options.work, no);
    }
    const isSecondTimeout = verdict === 'once-then-shrink' && this.#timedOut === no;
    if (verdict === 'shrink' || isSecondTimeout) return await this.#isolate(no, failure);
    if (verdict === 'once-then-shrink') this.#timedOut = no;
    const waitMs = this.#session.backoff(error, verdict === 'retry-slow' ? 'slow' : 'quick');
    this.#warn('chunk.retry', no, error, 'is tried again');
    await this.#record(no, error, { maxRows: null, waitMs, transient: true });
    await this.#session.idle(waitMs);
  }

  /** Tries a failing chunk again with fewer rows, or sets its only row aside (protocol T4). */
  async #isolate(no: number, { error, tried }: FailedChunk): Promise<void> {
    const { work } = this.#options;
    if (tried === null) throw stopping(error, work, no);
    if (tried.rows > 1) {
      const maxRows = await this.#session.use(async (session) => {
        const facts = await failureFacts(session, work.env.names, work.run.id);
        return rowsAfterFailure(tried.rows, facts.hasSucceeded);
      });
      await this.#record(no, error, { maxRows, waitMs: 0, transient: false });
      this.#options.progress.lastAt = performance.now();
      return this.#warn('chunk.shrunk', no, error, `is tried again with ${maxRows} of ${tried.rows} rows`);
    }
    const sqlstate = codeOf(error) ?? null;
    await this.#setAside({ no, seen: tried, failure: { error: messageOf(error), sqlstate } }, error);
  }

  async #setAside(suspect: Suspect, error: unknown): Promise<void> {
    const { work, progress } = this.#options;
    const { names, tuning } = work.env;
    const { no } = suspect;
    const key = await this.#session.use((session) => quarantineNext(session, work, suspect));
    if (key === null) {
      return await this.#record(no, error, { maxRows: null, waitMs: 0, transient: true });
    }
    this.#progressed(false);
    this.#warn('row.quarantined', no, error, 'had one row left, which is quarantined');
    const facts = await this.#session.use((session) => failureFacts(session, names, work.run.id));
    const { maxQuarantined } = tuning;
    const why = reasonToStop({ ...facts, maxQuarantined, recent: progress.recent });
    if (why !== null) throw stopping(error, work, no, why);
  }

  /** Takes care of a range whose workers died without progress. True where it is to be claimed anew. */
  async #isKilling(range: ClaimedRange): Promise<boolean> {
    const { work } = this.#options;
    const { no, stalls } = range;
    const next = afterDeaths(stalls, Math.min(this.#size, range.maxRows ?? this.#size));
    if (next.kind === 'go') return false;
    const error = new Error(`the process died ${stalls - 1} times while it worked on this row`);
    if (next.kind === 'set-aside') {
      await this.#setAside({ no, seen: null, failure: { error: error.message, sqlstate: null } }, error);
      return true;
    }
    await this.#session.use((session) => shrinkRange(session, work.env.names, work.run.id, no, next.rows));
    const deaths = `${stalls - 1} processes died in it without progress`;
    this.#warn('chunk.shrunk', no, new Error(deaths), `is tried again with ${next.rows} rows`);
    return false;
  }

  #warn(event: string, no: number, error: unknown, what: string): void {
    const message = messageOf(error);
    const { logger } = this.#options.work;
    logger.warn({ event, range: no, error: message }, `chunk of range ${no} ${what}: ${message}`);
  }

  /** Best effort: a claim that is not accounted for counts as a stall, no more. */
  async #record(
    no: number,
    error: unknown,
    how: { readonly maxRows: number | null; readonly waitMs: number; readonly transient: boolean },
  ): Promise<void> {
    const { work, worker, drain } = this.#options;
    const failure = { runId: work.run.id, no, worker, error: messageOf(error), ...how };
    const record = (session: Session): Promise<void> => recordFailure(session, work.env.names, failure);
    await this.#session.use(record).catch((reason: unknown) => {
      if (how.transient && !drain.aborted) throw reason;
    });
  }
}
