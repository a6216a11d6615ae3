import type { Config } from '../../config/config.ts';
import { shouldFork } from '../../core/size/fork.ts';
import { leftInDone, standingOf } from '../../core/progress/standing.ts';
import type { Overrides } from '../../core/config/steering.ts';
import type { Run, RunTotals } from '../../ledger/run/rows.ts';
import type { ChunkReport } from '../../run/lane/lane.ts';
import { LoopWatch } from '../../run/lane/loop-watch.ts';

/** Says, while a run continues, whether one more worker pays. */
export class ForkAdvice {
  readonly #config: Config;
  readonly #run: Run;
  readonly #startedAt = performance.now();
  readonly #loop = new LoopWatch();
  #firstChunk: ChunkReport | null = null;
  #isNew = false;
  #wake = (): void => undefined;

  constructor(config: Config, run: Run) {
    this.#config = config;
    this.#run = run;
  }

  /** Notes a chunk of this process. */
  chunk(report: ChunkReport): void {
    const { areWorkersAsked, tuning } = this.#config;
    const isAwaited = report.full && areWorkersAsked && tuning.workers > 1;
    if (this.#firstChunk !== null || !isAwaited) return;
    this.#firstChunk = report;
    this.#isNew = true;
    this.#wake();
  }

  /**
   * Settles once, when there is something to go by: the first chunk, where somebody has asked for workers. Waiting
   * for the next look at the run, which comes later still where JavaScript computes, took 0.3 s.
   */
  news(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isNew) resolve();
      else this.#wake = resolve;
      this.#isNew = false;
    });
  }

  /** `workers`: processes that there may be; `forked`: those that there are, besides the primary. */
  pay(
    sums: RunTotals,
    now: { readonly workers: number; readonly overrides: Overrides; readonly forked: number },
  ): boolean {
    const { areWorkersAsked, tuning } = this.#config;
    // The time before it went into connections.
    const first = sums.chunks === 1 ? this.#firstChunk : null;
    return shouldFork({
      elapsedMs: first?.durationMs ?? performance.now() - this.#startedAt,
      isFirstChunk: first !== null,
      leftInDone: leftInDone(standingOf(this.#run, sums)),
      openRanges: sums.rangesOpen,
      workers: now.workers,
      isAsked: areWorkersAsked || now.overrides.workers !== undefined,
      lanes: tuning.lanes,
      loopBusy: this.#loop.busy(),
      forked: now.forked,
    });
  }
}
