import { failureFacts, recordFailure, shrinkRange } from '../ledger/quarantine.ts';
import type { FailureFacts, RangeFailure } from '../ledger/quarantine.ts';
import { afterDeaths, reasonToStop, recentResults, rowsAfterFailure } from '../core/isolation.ts';
import { messageOf } from '../errors.ts';
import type { ClaimedRange } from '../ledger/ranges.ts';
import type { Session } from '../postgres/session.ts';
import type { FailedChunk } from './chunk.ts';
import type { ChunkWork } from './chunk-work.ts';
import { codeOf, named, stopping } from './failure.ts';
import { type Suspect, quarantineNext } from './isolate.ts';
import type { RetryingSession } from './retrying-session.ts';

/** What the lanes of a process share. */
export interface LaneProgress {
  /** When the run last made progress, as far as this process knows. */
  lastAt: number;
  /** When stuck holders of ranges are looked for again. */
  nextReapAt: number;
  /** The latest results: true for a committed chunk, false for a row that was set aside. */
  readonly recent: boolean[];
}

/** Notes a committed chunk, or a row that was set aside. */
export function progressed(progress: LaneProgress, isCommitted: boolean): void {
  progress.lastAt = performance.now();
  progress.recent.push(isCommitted);
  if (progress.recent.length > recentResults) progress.recent.shift();
}

/** What is written down of a failure: rows of the next try at most, and when it may begin. */
type Recording = Pick<RangeFailure, 'maxRows' | 'waitMs' | 'transient' | 'from'>;

export interface IsolatorOptions {
  readonly work: ChunkWork;
  readonly worker: string;
  readonly drain: AbortSignal;
  readonly progress: LaneProgress;
  readonly session: RetryingSession;
}

/** Finds the rows for which chunks fail, by halving, and sets them aside (protocol T4). */
export class Isolator {
  readonly #options: IsolatorOptions;

  constructor(options: IsolatorOptions) {
    this.#options = options;
  }

  /** Tries a failing chunk again with fewer rows, or sets its only row aside (protocol T4). */
  async isolate(no: number, { error, tried }: FailedChunk): Promise<void> {
    const { work } = this.#options;
    if (tried === null) throw stopping(error, work, no);
    if (tried.rows > 1) {
      const facts = await this.#facts();
      const maxRows = rowsAfterFailure(tried.rows, facts.hasSucceeded);
      // The server lets go of the range with the connection, and another lane may be quicker than a new one.
      await this.record(no, error, { maxRows, waitMs: 0, transient: false, from: tried.cursor });
      this.#options.progress.lastAt = performance.now();
      return this.warn('chunk.shrunk', no, error, `is tried again with ${maxRows} of ${tried.rows} rows`);
    }
    const sqlstate = codeOf(error) ?? null;
    await this.#setAside({ no, seen: tried, failure: { error: messageOf(error), sqlstate } }, error);
  }

  async #setAside(suspect: Suspect, error: unknown): Promise<void> {
    const { work, progress } = this.#options;
    const { maxQuarantined } = work.env.tuning;
    const { no } = suspect;
    const key = await this.#options.session.use((session) => quarantineNext(session, work, suspect));
    if (key === null) {
      return await this.record(no, error, { maxRows: null, waitMs: 0, transient: true });
    }
    progressed(progress, false);
    this.warn('row.quarantined', no, error, 'had one row left, which is quarantined');
    const facts = await this.#facts();
    const why = reasonToStop({ ...facts, maxQuarantined, recent: progress.recent });
    if (why !== null) throw stopping(error, work, no, why);
  }

  /** Takes care of a range whose workers died without progress. True where it is to be claimed anew. */
  async isKilling(range: ClaimedRange, size: number): Promise<boolean> {
    const { work } = this.#options;
    const { no, stalls } = range;
    const next = afterDeaths(stalls, Math.min(size, range.maxRows ?? size));
    if (next.kind === 'go') return false;
    const error = new Error(`the process died ${stalls - 1} times while it worked on this row`);
    if (next.kind === 'set-aside') {
      await this.#setAside({ no, seen: null, failure: { error: error.message, sqlstate: null } }, error);
      return true;
    }
    await this.#options.session.single((session) =>
      shrinkRange(session, work.env.names, work.run.id, no, next.rows),
    );
    const deaths = `${stalls - 1} processes died in it without progress`;
    this.warn('chunk.shrunk', no, new Error(deaths), `is tried again with ${next.rows} rows`);
    return false;
  }

  #facts(): Promise<FailureFacts> {
    const { run, env } = this.#options.work;
    return this.#options.session.single((session) => failureFacts(session, env.names, run.id));
  }

  /** Logs what becomes of a failing chunk. */
  warn(
    event: 'chunk.narrowed' | 'chunk.retry' | 'chunk.shrunk' | 'row.quarantined',
    no: number,
    error: unknown,
    what: string,
  ): void {
    const message = named(error);
    const { logger, migration } = this.#options.work;
    logger.warn(
      { event, migration: migration.name, range: no, error: message },
      `chunk of range ${no} ${what}: ${message}`,
    );
  }

  /** Best effort: a claim that is not accounted for counts as a stall, no more. */
  async record(no: number, error: unknown, how: Recording): Promise<void> {
    const { drain, session } = this.#options;
    await session.single(this.#recording(no, error, how)).catch((reason: unknown) => {
      if (how.transient && !drain.aborted) throw reason;
    });
  }

  /**
   * Gives the range of a chunk back that was stopped by `abort`; best effort. Or the row of a chunk that was
   * stopped twice would be taken for one that kills its process.
   */
  async stopped(no: number, error: unknown): Promise<void> {
    const write = this.#recording(no, error, { maxRows: null, waitMs: 0, transient: false });
    await this.#options.session.lastWord(write).catch(() => undefined);
  }

  #recording(no: number, error: unknown, how: Recording): (session: Session) => Promise<void> {
    const { work, worker } = this.#options;
    const failure = { runId: work.run.id, no, worker, error: named(error), ...how };
    return (session) => recordFailure(session, work.env.names, failure);
  }
}
