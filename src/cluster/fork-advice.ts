import type { Config } from '../config.ts';
import { shouldFork } from '../core/fork.ts';
import type { Overrides } from '../core/steering.ts';
import type { Run, RunTotals } from '../ledger/rows.ts';
import { LoopWatch } from '../run/loop-watch.ts';

/** Says, as a run goes on, whether one more worker pays. */
export class ForkAdvice {
  readonly #config: Config;
  readonly #run: Run;
  readonly #startedAt = performance.now();
  readonly #loop = new LoopWatch();

  constructor(config: Config, run: Run) {
    this.#config = config;
    this.#run = run;
  }

  /** `workers`: processes that there may be; `forked`: those that there are, besides the primary. */
  pay(
    sums: RunTotals,
    now: { readonly workers: number; readonly overrides: Overrides; readonly forked: number },
  ): boolean {
    const { areWorkersAsked, tuning } = this.#config;
    return shouldFork({
      elapsedMs: performance.now() - this.#startedAt,
      rowsDone: sums.passed,
      rowsEstimated: this.#run.estimatedRows > 0 ? sums.passed + sums.estimatedLeft : null,
      openRanges: sums.rangesOpen,
      workers: now.workers,
      isAsked: areWorkersAsked || now.overrides.workers !== undefined,
      lanes: tuning.lanes,
      loopBusy: this.#loop.busy(),
      forked: now.forked,
    });
  }
}
