import { logEvents } from '../../core/config/log-events.ts';
import type { Key } from '../../migration/key/key.ts';
import type { Trouble } from '../../core/progress/progress.ts';
import type { FailureFacts, RangeFailure } from '../../ledger/run/failures.ts';
import {
  type Suspects,
  afterDeaths,
  reasonToStop,
  recentResults,
  rowsAfterFailure,
} from '../../core/errors/isolation.ts';
import { codeOf, messageOf } from '../../errors.ts';
import type { ClaimedRange } from '../../ledger/run/ranges.ts';
import type { Session } from '../../postgres/session.ts';
import type { FailedChunk } from '../chunk/chunk.ts';
import type { ChunkWork } from '../context/chunk-work.ts';
import { named, refusedLogin, stopping, verdictOf } from './failure.ts';
import { type Suspect, quarantineNext } from './isolate.ts';
import type { RetryingSession } from './retrying-session.ts';
import type { ChunkSizer } from './chunk-sizer.ts';

/** What the lanes of a process share. */
export interface LaneProgress {
  /** When the run last made progress, as far as this process knows. */
  lastAt: number;
  /** When stuck holders of ranges are looked for again. */
  nextReapAt: number;
  /** The latest results: true for a committed chunk, false for a row that was quarantined. */
  readonly recent: boolean[];
  readonly suspects: Suspects;
  /** What a lane has been trying again since then, or null. */
  trouble: Trouble | null;
  /** How many lanes this process has now. */
  lanes: number;
}

/** Notes a committed chunk, or a row that was quarantined. */
export function progressed(progress: LaneProgress, isCommitted: boolean): void {
  progress.lastAt = performance.now();
  progress.trouble = null;
  progress.recent.push(isCommitted);
  if (progress.recent.length > recentResults) progress.recent.shift();
}

/** The range of a failed try, and the cursor from which it was tried, where that is known. */
export interface FailedRange {
  readonly no: number;
  readonly from: Key | null | undefined;
  /** Its claim was accounted for as it was rolled back. */
  readonly isAccounted?: boolean;
}

function asTried({ no, from }: FailedRange, { tried, isAccounted }: FailedChunk): FailedRange {
  return { no, from: tried === null ? from : tried.cursor, isAccounted };
}

/** What is written down of a failure: rows of the next try at most, and when it may begin. */
type Recording = Pick<RangeFailure, 'maxRows' | 'waitMs' | 'transient'>;

export interface IsolatorOptions {
  readonly work: ChunkWork;
  readonly worker: string;
  readonly drain: AbortSignal;
  readonly progress: LaneProgress;
  readonly session: RetryingSession;
  readonly sizer: ChunkSizer;
}

/**
 * Decides what becomes of a chunk that failed: it is tried again as it is, or the rows for which it fails are found
 * by halving, and quarantined (protocol T4).
 */
export class Isolator {
  readonly #options: IsolatorOptions;
  /** The range whose last chunk ran out of time: the next time it has fewer rows. */
  #timedOut: number | null = null;

  constructor(options: IsolatorOptions) {
    this.#options = options;
  }

  /** A chunk was committed. */
  succeeded(): void {
    this.#timedOut = null;
  }

  /** Gives a failed range back: to be tried again later, or with fewer rows. Throws what must stop the run. */
  async failed(claimed: FailedRange, failure: FailedChunk): Promise<void> {
    const { work, session } = this.#options;
    const range = asTried(claimed, failure);
    const { no } = range;
    const { error } = failure;
    if (await this.#isNarrowed(range, failure)) return;
    const verdict = verdictOf(failure, session.current);
    if (verdict === 'refused') throw refusedLogin(error);
    if (verdict === 'stop') {
      await this.#record(range, error, { maxRows: null, waitMs: 0, transient: false });
      throw stopping(error, work, no);
    }
    const isSecondTimeout = verdict === 'once-then-shrink' && this.#timedOut === no;
    const isHalved = verdict === 'halve';
    if (verdict === 'shrink' || isHalved || isSecondTimeout) {
      return await this.#isolate(range, failure, isHalved);
    }
    if (verdict === 'once-then-shrink') this.#timedOut = no;
    const waitMs = session.backoff(error, verdict === 'retry-slow' ? 'slow' : 'quick');
    this.#log('chunk.retry', no, error, 'is tried again');
    await this.#record(range, error, { maxRows: null, waitMs, transient: true });
    await session.idle(waitMs);
  }

  /** A search that ran into its time limit says nothing of the rows: it is tried again over fewer keys. */
  async #isNarrowed(range: FailedRange, { error, isSearching }: FailedChunk): Promise<boolean> {
    const { sizer } = this.#options;
    if (!isSearching || codeOf(error) !== '57014' || !sizer.narrow()) return false;
    const { keys } = sizer.limits;
    this.#log('chunk.narrowed', range.no, error, `is tried again over ${keys ?? 'all'} keys`);
    await this.#record(range, error, { maxRows: null, waitMs: 0, transient: true });
    return true;
  }

  /** Tries a failing chunk again with fewer rows, or quarantines its only row (protocol T4). */
  async #isolate(range: FailedRange, failure: FailedChunk, isHalved: boolean): Promise<void> {
    const { error, tried, readable } = failure;
    const { work } = this.#options;
    const { effects } = work;
    const { no } = range;
    if (tried === null) throw stopping(error, work, no);
    if (tried.rows > 1 && readable !== 0) {
      const facts = await this.#facts();
      this.#options.progress.suspects.failed(no, tried.rows);
      const maxRows = readable ?? rowsAfterFailure(tried.rows, facts.hasSucceeded || isHalved);
      await this.#record(range, error, { maxRows, waitMs: 0, transient: false });
      this.#options.progress.lastAt = performance.now();
      // Only the row that is found in the end is worth a warning, or else a limit that no row exceeds by itself, once.
      const event = isHalved && !effects.isLimitTold ? 'chunk.shrunk' : 'chunk.halved';
      effects.isLimitTold ||= isHalved;
      return this.#log(event, no, error, `is tried again with ${maxRows} of ${tried.rows} rows`);
    }
    const sqlstate = codeOf(error) ?? null;
    const seen = { cursor: tried.cursor, key: tried.key };
    const suspect = { no, seen, failure: { error: messageOf(error), sqlstate } };
    await this.#quarantine(suspect, error, range.isAccounted);
  }

  async #quarantine(suspect: Suspect, error: unknown, isAccounted = false): Promise<void> {
    const { work, progress } = this.#options;
    const { maxQuarantined } = work.env.tuning;
    const { no, seen } = suspect;
    const key = await this.#options.session.use((session) => quarantineNext(session, work, suspect));
    if (key === null) {
      const range = { no, from: seen.cursor, isAccounted };
      return await this.#record(range, error, { maxRows: null, waitMs: 0, transient: true });
    }
    progressed(progress, false);
    progress.suspects.passed(no, Infinity);
    const { logger, migration } = work;
    const quarantined = { event: 'row.quarantined', migration: migration.name, range: no, key } as const;
    const message = named(error);
    logger.warn(
      { ...quarantined, error: message },
      `${migration.name}: row ${key.join(', ')} is quarantined: ${message}`,
    );
    const facts = await this.#facts();
    const why = reasonToStop({ ...facts, maxQuarantined, recent: progress.recent });
    if (why !== null) throw stopping(error, work, no, why);
  }

  /** Takes care of a range whose workers died without progress. True where it is to be claimed again. */
  async isKilling(range: ClaimedRange, size: number): Promise<boolean> {
    const { work } = this.#options;
    const { no, cursor } = range;
    const rows = Math.min(size, range.maxRows ?? size);
    if (afterDeaths(range.openClaims, rows).kind === 'go') return false;
    const { ledger } = work.env;
    const openClaims = await this.#options.session.single((session) =>
      ledger(session).failures.openClaims(work.run.id, no),
    );
    const next = afterDeaths(openClaims, rows);
    if (next.kind === 'go') return false;
    // From here the end of a process looks like that of its network, for as long as it lasts.
    const deaths = `${openClaims - 1} processes died, or lost the database for good,`;
    const error = new Error(`${deaths} while they worked on this row`);
    if (next.kind === 'quarantine') {
      const failure = { error: error.message, sqlstate: null };
      await this.#quarantine({ no, seen: { cursor, key: null }, failure }, error);
      return true;
    }
    await this.#options.session.single((session) =>
      ledger(session).failures.shrinkRange(work.run.id, no, next.rows),
    );
    this.#log('chunk.shrunk', no, new Error(`${deaths} in it`), `is tried again with ${next.rows} rows`);
    return false;
  }

  #facts(): Promise<FailureFacts> {
    const { run, env } = this.#options.work;
    return this.#options.session.single((session) => env.ledger(session).failures.facts(run.id));
  }

  /** Logs what becomes of a failing chunk. */
  #log(
    event: 'chunk.halved' | 'chunk.narrowed' | 'chunk.retry' | 'chunk.shrunk',
    no: number,
    error: unknown,
    what: string,
  ): void {
    const message = named(error);
    const { logger, migration } = this.#options.work;
    logger[logEvents[event].level](
      { event, migration: migration.name, range: no, error: message },
      `chunk of range ${no} ${what}: ${message}`,
    );
  }

  /**
   * Best effort: a claim that is not accounted for counts as a death, no more. The server lets go of a range with the
   * connection, and another lane may be quicker than a new one: known by its cursor, it is accounted for then, too.
   */
  async #record(range: FailedRange, error: unknown, how: Recording): Promise<void> {
    const { drain, session } = this.#options;
    await session.single(this.#recording(range, error, how)).catch((reason: unknown) => {
      if (how.transient && !drain.aborted) throw reason;
    });
  }

  /**
   * Gives the range of a chunk back that was stopped by `abort`; best effort. Or the row of a chunk that was
   * stopped twice would be taken for one that kills its process.
   */
  async stopped(claimed: FailedRange, failure: FailedChunk): Promise<void> {
    const write = this.#recording(asTried(claimed, failure), failure.error, {
      maxRows: null,
      waitMs: 0,
      transient: false,
    });
    await this.#options.session.lastWord(write).catch(() => undefined);
  }

  #recording(range: FailedRange, error: unknown, how: Recording): (session: Session) => Promise<void> {
    const { work, worker } = this.#options;
    const { no, from, isAccounted = false } = range;
    const cursor = from === undefined ? {} : { from };
    const failure = { runId: work.run.id, no, worker, error: named(error), isAccounted, ...how, ...cursor };
    return (session) => work.env.ledger(session).failures.record(failure);
  }
}
