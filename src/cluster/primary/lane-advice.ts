import { setTimeout as sleep } from 'node:timers/promises';
import { type LaneWaits, LaneWatch } from '../../core/size/lanes.ts';
import type { RunEnvironment } from '../../run/context/environment.ts';
import type { RunLedger } from './run-ledger.ts';

// At first often, so that the first full chunk finds the advice there: where reads are slow it takes 300 to 400 ms.
const firstLookMs = 80;
const soonMs = 40;
const soonUntilMs = 2_000;
const laterMs = 250;

/**
 * Looks again and again at what the chunks of a run wait for, and tells what has been seen so far: how many lanes there
 * should be follows from it, in each process. Does nothing where their number is given.
 */
export class LaneAdvice {
  readonly #ledger: RunLedger;
  readonly #tell: (waits: LaneWaits) => void;
  readonly #over = new AbortController();
  #waits: LaneWaits | null = null;

  constructor(ledger: RunLedger, { tuning }: RunEnvironment, tell: (waits: LaneWaits) => void) {
    this.#ledger = ledger;
    this.#tell = tell;
    if (tuning.lanes === null) void this.#watch();
  }

  /** What chunks wait for; null as long as none was seen. */
  get waits(): LaneWaits | null {
    return this.#waits;
  }

  end(): void {
    this.#over.abort();
  }

  async #watch(): Promise<void> {
    const { signal } = this.#over;
    const watch = new LaneWatch();
    const startedAt = performance.now();
    let waitMs = firstLookMs;
    for (;;) {
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const look = await this.#ledger.look();
      const now = performance.now();
      if (look !== null && look.chunks > 0) {
        this.#waits = watch.add(look, now);
        this.#tell(this.#waits);
      }
      waitMs = now - startedAt < soonUntilMs ? soonMs : laterMs;
    }
  }
}
