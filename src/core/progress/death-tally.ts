// Enough for a chunk to be halved down to the row that kills.
const mostInVain = 16;

const firstPauseMs = 50;
const longestPauseMs = 5_000;

/** Counts the workers of a host that die, and decides whether, and when, others take their place. */
export class DeathTally {
  #inVain = 0;
  #ofWorkers = 0;
  #againAtMs = -Infinity;

  /** DeadWorkers since the run last made progress. */
  get inVain(): number {
    return this.#inVain;
  }

  /** A run that kills its workers again and again, and makes no progress, must not continue forever. */
  get isHopeless(): boolean {
    return this.#inVain >= mostInVain;
  }

  /** Notes a death. Where others make progress, workers that die without any are replaced more and more rarely. */
  died(nowMs: number): void {
    this.#inVain += 1;
    this.#ofWorkers += 1;
    const more = this.#ofWorkers - this.#inVain;
    if (more > 0) this.#againAtMs = nowMs + Math.min(longestPauseMs, firstPauseMs * 2 ** more);
  }

  mayFork(nowMs: number): boolean {
    return nowMs >= this.#againAtMs;
  }

  /** Notes that the run made progress: by a worker of this host, or by whomever. */
  progressed(by: 'worker' | 'anybody'): void {
    this.#inVain = 0;
    if (by === 'worker') this.#ofWorkers = 0;
  }
}
