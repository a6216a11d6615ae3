import type { RunTotals } from '../../ledger/run/rows.ts';
import type { Takeover } from '../../run/lane/lane-pool.ts';

// Ranges that older ones left have been claimed.
const mostInherited = 8;

/** The workers of this host that have died in a run, and what those that replace them inherit. */
export class DeadWorkers {
  readonly #dead: string[] = [];
  readonly #unreplaced: string[] = [];
  #isNew = false;
  #wake = (): void => undefined;

  /** Notes that a worker is dead; `name`: how the names of its lanes begin. */
  add(name: string): void {
    this.#dead.push(name);
    this.#unreplaced.push(name);
    this.#isNew = true;
    this.#wake();
  }

  /** For the next worker, as ranges stand: it claims what the dead have left before any other. */
  inheritance(workers: RunTotals['workers']): Takeover {
    const replaced = this.#unreplaced.shift();
    const left = workers.filter(({ worker }) => replaced !== undefined && worker.startsWith(replaced));
    return { from: this.#dead.slice(-mostInherited), lanes: Math.max(1, left.length) };
  }

  /** Settles with the next death, or at once where there was one since the last call. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isNew) resolve();
      else this.#wake = resolve;
      this.#isNew = false;
    });
  }
}
