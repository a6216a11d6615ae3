/** One look at a run, by the time since this process began to work on it. */
export interface RunLook {
  readonly elapsedMs: number;
  /** What holds new chunks back that nobody has asked for, or null. */
  readonly held: string | null;
  /** The time left; null: not known. */
  readonly etaSeconds: number | null;
}

/** What somebody may want to know of a run that takes its time. */
export type Alarm =
  | { readonly event: 'throttled'; readonly reason: string; readonly forSeconds: number }
  | { readonly event: 'slower'; readonly estimatedSeconds: number; readonly nowSeconds: number };

// By then chunks have found their size, and workers are at work: the time left says something.
const settledMs = 60_000;
const tooSlow = 2;
// The rate swings.
const lastingMs = 60_000;
// Held back, caught up and held back again is one time of being held back.
const shareOfBreak = 0.1;

/** Notices when a run is held back for long, and when it takes much longer than first estimated. Time is given. */
export class RunWatch {
  readonly #afterMs: number;
  #heldSince: number | null = null;
  #heldLast = 0;
  #isHeldTold = false;
  #estimate: { readonly atMs: number; readonly leftMs: number } | null = null;
  #slowSince: number | null = null;
  #isSlowTold = false;

  constructor(throttledAfterMs: number) {
    this.#afterMs = throttledAfterMs;
  }

  see(look: RunLook): readonly Alarm[] {
    return [this.#held(look), this.#slow(look)].filter((alarm) => alarm !== null);
  }

  #held({ elapsedMs, held }: RunLook): Alarm | null {
    if (held === null) {
      if (elapsedMs - this.#heldLast > this.#afterMs * shareOfBreak) this.#heldSince = null;
      return null;
    }
    if (this.#heldSince === null) this.#isHeldTold = false;
    this.#heldSince ??= elapsedMs;
    this.#heldLast = elapsedMs;
    const forMs = elapsedMs - this.#heldSince;
    if (this.#isHeldTold || forMs < this.#afterMs) return null;
    this.#isHeldTold = true;
    return { event: 'throttled', reason: held, forSeconds: Math.round(forMs / 1_000) };
  }

  #slow({ elapsedMs, etaSeconds }: RunLook): Alarm | null {
    if (this.#estimate === null) {
      if (etaSeconds === null || elapsedMs < settledMs) return null;
      this.#estimate = { atMs: elapsedMs, leftMs: etaSeconds * 1_000 };
    }
    const { atMs, leftMs } = this.#estimate;
    const nowMs = elapsedMs - atMs + (etaSeconds ?? 0) * 1_000;
    if (nowMs <= tooSlow * leftMs) this.#slowSince = null;
    else this.#slowSince ??= elapsedMs;
    if (this.#isSlowTold || this.#slowSince === null || elapsedMs - this.#slowSince < lastingMs) return null;
    this.#isSlowTold = true;
    const [estimatedSeconds, nowSeconds] = [leftMs, nowMs].map((ms) => Math.round(ms / 1_000)) as [
      number,
      number,
    ];
    return { event: 'slower', estimatedSeconds, nowSeconds };
  }
}
