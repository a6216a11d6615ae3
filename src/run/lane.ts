import { firstChunkSize, nextChunkSize } from '../core/chunk-size.ts';
import { type ClaimedRange, claim, giveBack, totals } from '../ledger/ranges.ts';
import type { Session } from '../postgres/session.ts';
import { inOneTrip } from '../postgres/transaction.ts';
import { type ChunkOutcome, type FailedChunk, runChunk } from './chunk.ts';
import type { ChunkWork } from './chunk-work.ts';
import { refusedLogin, stopping, verdictOf } from './failure.ts';
import { Isolator, type LaneProgress, progressed } from './isolator.ts';
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
  readonly #isolator: Isolator;
  #size: number;
  /** The range whose last chunk ran into the statement timeout: the next time it has fewer rows. */
  #timedOut: number | null = null;

  constructor(options: LaneOptions) {
    this.#options = options;
    const { env, run } = options.work;
    this.#session = new RetryingSession(env, run.direction, options);
    this.#isolator = new Isolator({ ...options, session: this.#session });
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
    const { names, pinned } = work.env;
    const takeUp = (): Promise<ClaimedRange | null> =>
      inOneTrip(session, pinned, () => claim(session, names, work.run.id, worker));
    const range = await takeUp();
    if (range !== null) return range;
    const { rangesOpen } = await inOneTrip(session, pinned, () => totals(session, names, work.run.id));
    if (rangesOpen === 0) return 'finished';
    await reap(session, work, this.#options.progress);
    await steal(session, work.env, work.run, this.#size, worker);
    return (await takeUp()) ?? 'idle';
  }

  async #workRange(range: ClaimedRange): Promise<'next' | 'stopped'> {
    const { drain } = this.#options;
    if (await this.#isolator.isKilling(range, this.#size)) return 'next';
    let isProbe = range.onlyFailed;
    if (drain.aborted) await this.#giveBack(range.no);
    while (!drain.aborted) {
      const outcome = await this.#tryChunk(range.no, isProbe ? 1 : this.#size);
      if (outcome.kind === 'stopped') return 'stopped';
      if (outcome.kind === 'gone') return 'next';
      if (outcome.kind === 'failed') {
        await this.#failed(range.no, outcome);
        return 'next';
      }
      this.#succeeded(range.no, outcome);
      isProbe = false;
      if (outcome.last) return 'next';
    }
    return 'next';
  }

  /** Best effort: a claim that is not given back counts as a stall. */
  async #giveBack(no: number): Promise<void> {
    const { work, worker } = this.#options;
    const write = (session: Session): Promise<void> =>
      giveBack(session, work.env.names, work.run.id, no, worker);
    await this.#session.single(write).catch(() => undefined);
  }

  async #tryChunk(no: number, size: number): Promise<ChunkOutcome> {
    const { work, abort } = this.#options;
    try {
      const outcome = await runChunk(await this.#session.connected(), work, { no, size, signal: abort });
      if (outcome.kind === 'failed' && abort.aborted) {
        await this.#isolator.stopped(no, outcome.error);
        throw outcome.error;
      }
      return outcome;
    } catch (error) {
      if (abort.aborted) throw error;
      return { kind: 'failed', error, exceeded: false, tried: null };
    }
  }

  #succeeded(no: number, outcome: Extract<ChunkOutcome, { kind: 'advanced' }>): void {
    const { work, onChunk } = this.#options;
    const { rows, limit: size, durationMs } = outcome;
    const migration = work.migration.name;
    work.logger.debug({ event: 'chunk.done', migration, range: no, rows, size, durationMs });
    this.#session.succeeded();
    this.#timedOut = null;
    progressed(this.#options.progress, true);
    const full = !outcome.last;
    onChunk({ rows, size, durationMs, full });
    // A chunk that was held small says nothing about a large one.
    if (full && outcome.limit < this.#size && !outcome.isCut) return;
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

  /** Gives a failed range back: to be tried again later, or with fewer rows. Throws what must stop the run. */
  async #failed(no: number, failure: FailedChunk): Promise<void> {
    const { error } = failure;
    const verdict = verdictOf(failure, this.#session.current);
    if (verdict === 'refused') throw refusedLogin(error);
    if (verdict === 'stop') {
      await this.#isolator.record(no, error, { maxRows: null, waitMs: 0, transient: false });
      throw stopping(error, this.#options.work, no);
    }
    const isSecondTimeout = verdict === 'once-then-shrink' && this.#timedOut === no;
    if (verdict === 'shrink' || isSecondTimeout) return await this.#isolator.isolate(no, failure);
    if (verdict === 'once-then-shrink') this.#timedOut = no;
    const waitMs = this.#session.backoff(error, verdict === 'retry-slow' ? 'slow' : 'quick');
    this.#isolator.warn('chunk.retry', no, error, 'is tried again');
    await this.#isolator.record(no, error, { maxRows: null, waitMs, transient: true });
    await this.#session.idle(waitMs);
  }
}
