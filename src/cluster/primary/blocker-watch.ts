import { describeTrouble } from '../../core/progress/progress.ts';
import type { LaneProgress } from '../../run/lane/isolator.ts';
import type { ProgressMeter } from './progress-meter.ts';
import type { RunLedger } from './run-ledger.ts';

// A chunk takes half of that, and a lock is waited for twice as long before it is abandoned.
const stillMs = 1_000;

/** Says for what chunks wait, where none is committed any more. */
export class BlockerWatch {
  readonly #ledger: RunLedger;
  readonly #meter: ProgressMeter;
  readonly #progress: Pick<LaneProgress, 'trouble'>;
  #chunks = -1;
  #lookedAt = 0;
  #isSaid = false;

  /** `progress`: what the lanes of this process share. */
  constructor(ledger: RunLedger, meter: ProgressMeter, progress: Pick<LaneProgress, 'trouble'>) {
    this.#ledger = ledger;
    this.#meter = meter;
    this.#progress = progress;
  }

  /** Tells others of this host. `chunks`: how many are committed by now; if none is any more, it looks who holds them up. */
  async tellAndLook(chunks: number): Promise<void> {
    await this.#ledger.tell(() => this.#meter.mark());
    const now = performance.now();
    const hasMoved = chunks !== this.#chunks;
    this.#chunks = chunks;
    if (!hasMoved && now - this.#lookedAt < stillMs) return;
    this.#lookedAt = now;
    const reason = hasMoved ? null : await this.#reason();
    if (reason === null && !this.#isSaid) return;
    this.#isSaid = reason !== null;
    this.#meter.waiting(reason);
  }

  async #reason(): Promise<string | null> {
    const wait = await this.#ledger.waitOfChunks().catch(() => null);
    const { trouble } = this.#progress;
    return wait ?? (trouble === null ? null : describeTrouble(trouble, performance.now()));
  }
}
