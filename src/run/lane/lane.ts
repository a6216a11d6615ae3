import { counted } from '../../core/values/numbers.ts';
import { type ChunkLimits, mostRows } from '../../core/size/chunk-limits.ts';
import { restMs } from '../../core/throttle/decision.ts';
import { nextWaitMs } from '../../core/size/pace.ts';
import type { ClaimedRange } from '../../ledger/run/ranges.ts';
import type { Session } from '../../postgres/session.ts';
import { inOneTrip } from '../../postgres/transaction.ts';
import type { ChunkOutcome } from '../chunk/chunk.ts';
import { isStillMatching } from '../chunk/still-matches.ts';
import { continueByKey } from '../order/continue-by-key.ts';
import { limitedError } from '../order/key-part.ts';
import { runTraced } from '../chunk/traced-chunk.ts';
import type { Updates } from '../chunk/write-counters.ts';
import type { ChunkWork } from '../context/chunk-work.ts';
import { type FailedRange, Isolator, type LaneProgress, progressed } from './isolator.ts';
import { RateLimiter } from './rate-limiter.ts';
import { reap } from './reap.ts';
import { RetryingSession } from './retrying-session.ts';
import { steal } from './steal.ts';
import { ChunkSizer } from './chunk-sizer.ts';

/** What a lane tells after each committed chunk. */
export interface ChunkReport {
  readonly rows: number;
  /** Rows that it has changed, in any table. */
  readonly changed: number;
  /** Rows of the base table that it has updated. */
  readonly updates: Updates;
  /** Columns that its statements have set; null: some do not say. */
  readonly columns: readonly string[] | null;
  readonly size: number;
  readonly durationMs: number;
  /** The chunk came back full: there is more to do. */
  readonly full: boolean;
}

/** Where a lane ends that is the only one of its run. */
export interface LaneLimit {
  /** The rows of the run then. */
  readonly stopAt: number;
  /** Is called when they are done, or when the part of the keys has no more: how many are left of those. */
  readonly reached: (left: number) => void;
}

export interface LaneOptions {
  readonly work: ChunkWork;
  /** `host:pid/token:lane`, shown in the ledger. */
  readonly worker: string;
  /** Aborts when no further chunk is to begin. */
  readonly drain: AbortSignal;
  /** Aborts when this lane is to begin no further chunk, because it is one too many. */
  readonly retired: AbortSignal;
  /** Aborts when running chunks are to be destroyed. */
  readonly abort: AbortSignal;
  readonly onChunk: (report: ChunkReport) => void;
  readonly progress: LaneProgress;
  /** Beginnings of the names of dead workers, whose ranges this lane is to claim before any other. */
  readonly takeOverFrom: readonly string[];
  readonly limit: LaneLimit | null;
}

// At the end of a run a lane waits for the last chunks of the others: it looks again soon, then less and less often.
const firstPollMs = 5;
const longestPollMs = 100;

// While it is held back, another host may end the run.
const heldPollMs = 1_000;

// What the server needs to roll back, once it has noticed that its client is gone.
const inheritMarginMs = 1_000;

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
  readonly #limiter: RateLimiter;
  readonly #sizer: ChunkSizer;
  /** Until when it waits for the ranges of the dead. */
  readonly #heirUntil: number;
  /** What author code keeps from one chunk to the next; nothing of it may come from one that was rolled back. */
  readonly #cache = new Map<unknown, unknown>();
  /** It may hold a range without knowing it: a claim is under way, or its answer was lost. */
  #isUnanswered = false;
  /** How often in a row it has found nothing to do. */
  #polls = 0;
  /** Chunks that have failed in a row. */
  #tries = 0;
  /** When its latest chunk ended. */
  #freeAt = performance.now();

  constructor(options: LaneOptions) {
    this.#options = options;
    const { env, run } = options.work;
    const use = { migration: run.name, lane: options.worker.split(':').at(-1) ?? '' };
    this.#session = new RetryingSession(env, run.direction, { ...options, use });
    this.#limiter = new RateLimiter(options.work);
    this.#sizer = new ChunkSizer(options.work, this.#limiter);
    this.#isolator = new Isolator({ ...options, session: this.#session, sizer: this.#sizer });
    this.#heirUntil = performance.now() + env.tuning.clientCheckMs + inheritMarginMs;
  }

  async loop(): Promise<void> {
    while (!this.#isOver) {
      const next = await this.#session.use((session) => this.#findRange(session));
      if (next === 'finished') return;
      if (typeof next === 'number') {
        await this.#session.idle(next, this.#options.work.env.throttle.released);
        continue;
      }
      this.#polls = 0;
      if ((await this.#workRange(next)) === 'stopped') return;
    }
  }

  get #isOver(): boolean {
    return this.#options.drain.aborted || this.#options.retired.aborted;
  }

  async close(): Promise<void> {
    await this.#session.close();
  }

  /** A range to work on; or how long to wait before it is looked for again, in milliseconds. */
  async #findRange(session: Session): Promise<ClaimedRange | number | 'finished'> {
    const { work } = this.#options;
    const { ledger, pinned, throttle } = work.env;
    const isHeld = throttle.decision.hold !== null;
    const isHeir = await this.#isHeir(session);
    const first = isHeld ? 'none' : await this.#claim(session, isHeir ? this.#options.takeOverFrom : null);
    if (first !== 'none') return first;
    if (isHeir) return longestPollMs;
    const sums = await inOneTrip(session, pinned, () => ledger(session).ranges.totals(work.run.id));
    if (sums.rangesOpen === 0) return 'finished';
    if (sums.rangesOpen === sums.rangesParked) return this.#endOfPart(sums.rows);
    await reap(session, work, this.#options.progress);
    if (isHeld) return heldPollMs;
    await steal(session, work.env, work.run, { worker: this.#options.worker, ...this.#sizer.chunkKeys });
    const second = await this.#claim(session);
    return second === 'none' ? Math.min(firstPollMs * 2 ** this.#polls++, longestPollMs) : second;
  }

  /** The part of the keys has no more rows, and only the next `up` has more than that. */
  #endOfPart(rows: number): 'finished' {
    const { limit, work } = this.#options;
    // Not of this command: it had not been heard of for so long that another one started in its place.
    if (limit === null) throw limitedError(work.migration.name);
    limit.reached(limit.stopAt - rows);
    return 'finished';
  }

  /**
   * Whether a dead worker's range waits for this lane, perhaps until the server has noticed the death. A lane that took
   * another one in the meantime would be busy with that for long, as all others are.
   */
  async #isHeir(session: Session): Promise<boolean> {
    const { takeOverFrom, work } = this.#options;
    if (takeOverFrom.length === 0 || performance.now() > this.#heirUntil) return false;
    const { ledger, pinned } = work.env;
    return await inOneTrip(session, pinned, () =>
      ledger(session).ranges.hasOrphans(work.run.id, takeOverFrom),
    );
  }

  async #claim(
    session: Session,
    dead: readonly string[] | null = null,
  ): Promise<ClaimedRange | number | 'none' | 'finished'> {
    const { work, worker } = this.#options;
    const { ledger, pinned } = work.env;
    const turn = await this.#limiter.turn(session, this.#sizer.adaptingRows);
    if (this.#isUnanswered) {
      await inOneTrip(session, pinned, () => ledger(session).ranges.giveBack(work.run.id, null, worker));
    }
    this.#isUnanswered = true;
    const found = await inOneTrip(session, pinned, () =>
      ledger(session).ranges.claim(work.run, worker, turn, dead),
    );
    this.#isUnanswered = false;
    if (found.kind === 'stopped') return 'finished';
    this.#limiter.learn(found.overrides);
    if (found.kind === 'paced') return nextWaitMs(found.waitMs);
    if (found.kind === 'none') return 'none';
    this.#limiter.taken(turn);
    return found.range;
  }

  async #workRange(range: ClaimedRange): Promise<'next' | 'stopped'> {
    const { env, run, step } = this.#options.work;
    const size = mostRows(this.#sizer.limits, step.setBased);
    if (await this.#isolator.isKilling(range, size)) return 'next';
    let isProbe = range.onlyFailed;
    let isUsed = false;
    while (!this.#isOver) {
      const left = await this.#rowsLeft();
      if (left <= 0) break;
      const wanted = isProbe ? { rows: 1, keys: this.#sizer.limits.keys } : this.#sizer.limits;
      // Whoever has moved the cursor since has closed the claim.
      const claimed = { no: range.no, from: isUsed ? undefined : range.cursor };
      const outcome = await this.#tryChunk(claimed, wanted, left);
      if (outcome.kind === 'stopped') {
        await this.#giveBack(range.no);
        return 'stopped';
      }
      if (outcome.kind === 'gone') return 'next';
      if (outcome.kind === 'failed') {
        if (isStillMatching(outcome.error) && run.plan.auto?.state === 'blocks') {
          await this.#session.use((session) => continueByKey(session, env, run));
          return 'stopped';
        }
        await this.#isolator.failed(claimed, outcome);
        return 'next';
      }
      this.#succeeded(range.no, outcome, wanted);
      isProbe = false;
      if (outcome.last || this.#limiter.steering.pace !== null || (await this.#isThrottled(outcome)))
        return 'next';
      isUsed = true;
    }
    // A lane that was told to go leaves its range to the others, and a claim without a chunk is none.
    if (!isUsed || this.#options.retired.aborted) await this.#giveBack(range.no);
    return 'next';
  }

  /** Once in a process: a warning for each chunk would tell nothing more. */
  #sayMissing(missing: number): void {
    const { effects, logger, migration } = this.#options.work;
    if (missing === 0 || effects.isMissingTold) return;
    effects.isMissingTold = true;
    const fields = { event: 'update.missing', migration: migration.name, missing } as const;
    const hint = 'check the values of its key, or set allowMissing: true if rows may be missing';
    logger.warn(
      fields,
      `${migration.name}: updateRows or deleteRows did not find ${counted(missing, 'row')} of a chunk: ${hint}`,
    );
  }

  /** Whether chunks are held back; where they are to be fewer, it rests. It has no range in the meantime, as with a pace. */
  async #isThrottled({ durationMs }: { readonly durationMs: number }): Promise<boolean> {
    const { factor, hold } = this.#options.work.env.throttle.decision;
    if (factor < 1) await this.#session.idle(restMs(durationMs, factor));
    return factor < 1 || hold !== null;
  }

  /** Best effort: a claim that is not given back counts as a death. */
  async #giveBack(no: number): Promise<void> {
    const { work, worker } = this.#options;
    const write = (session: Session): Promise<void> =>
      work.env.ledger(session).ranges.giveBack(work.run.id, no, worker);
    await this.#session.single(write).catch(() => undefined);
  }

  /**
   * Rows that the run may have before it stops. The ledger knows them, also where the answer to a COMMIT was lost. Of
   * several blocks nobody knows how many rows they have: there a set-based chunk is a part of one.
   */
  async #rowsLeft(): Promise<number> {
    const { limit, work } = this.#options;
    if (limit === null) return Infinity;
    const { env, run, step } = work;
    const { rows } = await this.#session.use((session) =>
      inOneTrip(session, env.pinned, () => env.ledger(session).ranges.totals(run.id)),
    );
    const left = limit.stopAt - rows;
    if (left <= 0) limit.reached(0);
    const { rowsPerBlock } = run.plan;
    if (!step.setBased || rowsPerBlock === undefined) return left;
    return Math.min(left, Math.max(1, Math.ceil(rowsPerBlock) - 1));
  }

  async #tryChunk(range: FailedRange, limits: ChunkLimits, left: number): Promise<ChunkOutcome> {
    const { work, abort } = this.#options;
    try {
      const { targetMs } = this.#limiter.steering;
      const most = Math.min(this.#options.progress.suspects.most(range.no), left);
      const request = { no: range.no, limits, most, targetMs, signal: abort, cache: this.#cache };
      const session = await this.#session.connected();
      const waited = { tries: this.#tries, waitMs: performance.now() - this.#freeAt };
      const outcome = await runTraced(session, work, request, waited);
      this.#freeAt = performance.now();
      this.#tries = outcome.kind === 'failed' ? this.#tries + 1 : 0;
      if (outcome.kind !== 'advanced') this.#cache.clear();
      if (outcome.kind === 'failed' && abort.aborted) {
        await this.#isolator.stopped(range, outcome);
        throw outcome.error;
      }
      return outcome;
    } catch (error) {
      if (abort.aborted) throw error;
      const nothing = { exceeded: false, isSearching: false, tried: null, readable: null };
      return { kind: 'failed', error, ...nothing, isAccounted: false };
    }
  }

  #succeeded(no: number, outcome: Extract<ChunkOutcome, { kind: 'advanced' }>, wanted: ChunkLimits): void {
    const { work, onChunk } = this.#options;
    const { rows, limits, isCut, last, durationMs } = outcome;
    const { weight, base } = work.run.plan;
    const isCounted = isCut || weight !== undefined || base.isGrouped === true;
    const size = isCounted ? rows : mostRows(limits, work.step.setBased);
    const migration = work.migration.name;
    work.logger.debug({ event: 'chunk.done', migration, range: no, rows, size, durationMs });
    this.#session.succeeded();
    this.#isolator.succeeded();
    this.#limiter.used(rows);
    this.#limiter.learn(outcome.overrides);
    progressed(this.#options.progress, true);
    this.#options.progress.suspects.passed(no, size);
    this.#sayMissing(outcome.missing);
    const { changed, updates, columns } = outcome;
    onChunk({ rows, changed, updates, columns, size, durationMs, full: !last });
    this.#sizer.learn(outcome, wanted);
  }
}
