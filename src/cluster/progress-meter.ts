import type { Progress } from '../core/progress.ts';
import { RateMeter } from '../core/rate.ts';
import type { Run, RunTotals } from '../ledger/rows.ts';
import type { ChunkReport } from '../run/lane.ts';

/** Turns readings of the ledger into `Progress`; the ledger is the only source of rows done. */
export class ProgressMeter {
  readonly #migration: string;
  readonly #run: Run;
  readonly #emit: (progress: Progress) => void;
  readonly #startedAt = performance.now();
  readonly #rate = new RateMeter();
  /** Of keys, whether their rows match or not: that is what is left to do. */
  readonly #pace = new RateMeter();
  #size = 0;
  #waiting: string | null = null;
  #sums: RunTotals | null = null;
  #workers = 1;

  constructor(migration: string, run: Run, emit: (progress: Progress) => void) {
    this.#migration = migration;
    this.#run = run;
    this.#emit = emit;
  }

  chunk(report: ChunkReport): void {
    this.#size = report.size;
  }

  waiting(reason: string | null): void {
    if (reason === this.#waiting) return;
    this.#waiting = reason;
    this.#show();
  }

  update(sums: RunTotals, workers: number): void {
    this.#sums = sums;
    this.#workers = workers;
    this.#rate.add(sums.rows, performance.now());
    this.#pace.add(sums.passed, performance.now());
    this.#show();
  }

  /** Share done by keys and estimate, else by ranges; null where nothing is known. */
  fractionOf(sums: RunTotals): number | null {
    if (sums.rangesOpen === 0) return 1;
    const isEstimated = this.#run.estimatedRows > 0;
    if (isEstimated) return Math.min(sums.passed / Math.max(sums.passed + sums.estimatedLeft, 1), 0.999);
    const ranges = sums.rangesDone + sums.rangesOpen;
    return ranges > 1 ? sums.rangesDone / ranges : null;
  }

  #show(): void {
    const sums = this.#sums;
    const rowsDone = sums?.rows ?? 0;
    const isEstimated = this.#run.estimatedRows > 0;
    const left = sums?.estimatedLeft ?? this.#run.estimatedRows;
    this.#emit({
      migration: this.#migration,
      direction: this.#run.direction,
      rowsDone,
      rowsEstimated: isEstimated ? rowsDone + Math.round(left) : null,
      fraction: sums === null ? null : this.fractionOf(sums),
      rowsPerSecond: this.#rate.perSecond(),
      etaSeconds: isEstimated ? this.#pace.etaSeconds(left) : null,
      chunks: sums?.chunks ?? 0,
      chunkSize: this.#size,
      workers: this.#workers,
      waiting: this.#waiting,
      elapsedMs: performance.now() - this.#startedAt,
    });
  }
}
