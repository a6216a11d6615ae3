import { EtaMeter, RateMeter } from '../../core/progress/meters.ts';
import { type Progress, type Trouble, describeTrouble } from '../../core/progress/progress.ts';
import { secondsLeft, standingOf } from '../../core/progress/standing.ts';
import type { Held } from '../../core/throttle/decision.ts';
import { paceReason } from '../../core/size/pace.ts';
import { type HostMark, type HostSeen, unseenMs } from '../../ledger/look/hosts.ts';
import type { PointMark } from '../../ledger/look/points.ts';
import type { Run, RunTotals } from '../../ledger/run/rows.ts';
import type { ChunkReport } from '../../run/lane/lane.ts';

/** One look at the run: the ledger's sums, and who works on it. */
export interface MeterReading {
  readonly sums: RunTotals;
  /** Working processes of this host. */
  readonly workers: number;
  /** Lanes of this process. */
  readonly lanes: number;
  /** Rows per second that the run is held to, or null. */
  readonly pace: number | null;
  /** What the throttle holds it back by, or null. */
  readonly held: Held | null;
  /** What the other hosts tell. */
  readonly others: readonly HostSeen[];
}

// Readings come several times a second: after a longer gap the database was away, and nothing ran.
const gapMs = 3_000;

// An answer takes milliseconds; whoever looks at the terminal should not wonder for longer.
const silentMs = 2_000;

// Without a chunk for this long, and for so many times as the last one took, nobody knows how long the rest takes: the
// rate falls towards 0, and the time left would grow to years.
const stalledMs = 10_000;
const stalledChunks = 3;

/** Turns readings of the ledger into `Progress`; the ledger is the only source of rows done. */
export class ProgressMeter {
  #run: Run;
  readonly #emit: (progress: Progress, reading: MeterReading | null) => void;
  readonly #startedAt = performance.now();
  readonly #rate = new RateMeter();
  /** Of rows of the table, whether they match or not. */
  readonly #keys = new RateMeter();
  readonly #eta = new EtaMeter();
  #chunk: ChunkReport | null = null;
  #waiting: string | null = null;
  #trouble: Trouble | null = null;
  #retelling: NodeJS.Timeout | undefined;
  #latest: MeterReading | null = null;
  #readAt: number | null = null;
  #passed = 0;
  #movedAt = performance.now();
  #ranMs = 0;
  #isFinished = false;

  constructor(run: Run, emit: (progress: Progress, reading: MeterReading | null) => void) {
    this.#run = run;
    this.#emit = emit;
  }

  /** The run continues in another order. */
  follow(run: Run): void {
    this.#run = run;
  }

  chunk(report: ChunkReport): void {
    this.#chunk = report;
  }

  waiting(reason: string | null): void {
    if (reason === this.#waiting) return;
    this.#waiting = reason;
    this.#show();
  }

  /** Says that a call to the database is made again, and every second for how long still. */
  trouble(trouble: Trouble | null): void {
    this.#trouble = trouble;
    clearInterval(this.#retelling);
    if (trouble !== null) this.#retelling = setInterval(() => this.#show(), 1_000).unref();
    this.#show();
  }

  /** Says that the database is waited for where its answer takes long. */
  async during<T>(answer: Promise<T>): Promise<T> {
    const reason = 'the database to answer';
    const timer = setTimeout(() => this.waiting(reason), silentMs);
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
      if (this.#waiting === reason) this.waiting(null);
    }
  }

  update(reading: MeterReading): void {
    this.#latest = reading;
    const now = performance.now();
    const sinceMs = this.#readAt === null ? 0 : now - this.#readAt;
    this.#readAt = now;
    if (sinceMs <= gapMs) this.#ranMs += sinceMs;
    else for (const rate of [this.#rate, this.#keys]) rate.skip();
    const { rows, passed, rangesOpen } = reading.sums;
    if (passed !== this.#passed || sinceMs > gapMs) this.#movedAt = now;
    this.#passed = passed;
    // It may have come to its end before anybody saw that it waits no more.
    if (rangesOpen === 0) this.#waiting = null;
    this.#rate.add(rows, now);
    this.#keys.add(passed, now);
    const speed = { rowsPerSecond: this.#rate.perSecond(), keysPerSecond: this.#keys.perSecond() };
    const standing = standingOf(this.#run, reading.sums);
    const seconds = standing.keysLeft === 0 ? 0 : secondsLeft(standing, speed, reading.pace);
    this.#eta.add(seconds, this.#ranMs);
    this.#show();
  }

  /** The run is done. */
  finished(): void {
    this.#isFinished = true;
    this.#show();
  }

  /** What this host tells the others. */
  mark(): HostMark & PointMark {
    const { workers, rowsDone, rowsPerSecond, etaSeconds, chunkSize, chunkMs, waiting, throttled } =
      this.#progress();
    const lanes = this.#latest?.lanes ?? null;
    const held = throttled ?? waiting;
    return {
      workers,
      rowsDone,
      rowsPerSecond,
      etaSeconds,
      chunkSize,
      chunkMs,
      lanes,
      waiting,
      throttled,
      held,
    };
  }

  #isStalled(): boolean {
    const chunkMs = this.#chunk?.durationMs ?? 0;
    return performance.now() - this.#movedAt > Math.max(stalledMs, stalledChunks * chunkMs);
  }

  #show(): void {
    this.#emit(this.#progress(), this.#latest);
  }

  #progress(): Progress {
    const { sums = null, workers = 1, pace = null, held = null, others = [] } = this.#latest ?? {};
    const seen = others.filter(({ seenAgoMs }) => seenAgoMs < unseenMs);
    const { rowsDone, rowsEstimated, fraction } = standingOf(this.#run, sums);
    const waiting =
      this.#trouble === null ? this.#waiting : describeTrouble(this.#trouble, performance.now());
    return {
      migration: this.#run.name,
      direction: this.#run.direction,
      rowsDone,
      rowsEstimated: this.#isFinished ? rowsDone : rowsEstimated,
      fraction: this.#isFinished ? 1 : fraction,
      // Both are measured while chunks are done, and say nothing of how long it will wait.
      rowsPerSecond: waiting === null ? this.#rate.perSecond() : null,
      etaSeconds: waiting === null && !this.#isStalled() ? this.#eta.seconds() : null,
      chunks: sums?.chunks ?? 0,
      chunkSize: this.#chunk?.size ?? 0,
      chunkMs: this.#chunk?.durationMs ?? null,
      workers,
      otherWorkers: seen.reduce((sum, host) => sum + host.workers, 0),
      otherHosts: seen.length,
      waiting,
      throttled: held?.text ?? paceReason(pace),
      throttledBy: held?.kind ?? (pace === null ? null : 'pace'),
      retries: sums?.retries ?? 0,
      quarantined: sums?.quarantined ?? 0,
      elapsedMs: performance.now() - this.#startedAt,
    };
  }
}
