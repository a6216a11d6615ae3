// Half of the weight lies on the last two seconds: steady enough to read, quick enough to be true.
const halfLifeMs = 2_000;

/** Rows per second, smoothed exponentially over time. Time is given, never read. */
export class RateMeter {
  #last: { readonly rows: number; readonly atMs: number } | null = null;
  #perSecond: number | null = null;

  /** Takes a reading: rows done so far, at a time in milliseconds. */
  add(rows: number, atMs: number): void {
    const last = this.#last;
    if (last !== null && atMs <= last.atMs) return;
    this.#last = { rows, atMs };
    if (last === null) return;
    const elapsedMs = atMs - last.atMs;
    const now = Math.max(0, ((rows - last.rows) * 1_000) / elapsedMs);
    const keep = 0.5 ** (elapsedMs / halfLifeMs);
    this.#perSecond = this.#perSecond === null ? now : this.#perSecond * keep + now * (1 - keep);
  }

  /** Null until two readings are known. */
  perSecond(): number | null {
    return this.#perSecond;
  }

  /** What passes until the next reading is no running time: waiting, or an unavailable database. */
  skip(): void {
    this.#last = null;
  }
}

// The first second is warming up: chunks are small and workers are being forked.
const knownAfterMs = 1_000;

// The rate swings by so much without anything having happened.
const swing = 0.3;
const swingSeconds = 2;

/**
 * The time left, as people want to read it: it goes down with the clock. Where the estimate grows, it stands still
 * while that may be the swing of the rate, and then jumps.
 */
export class EtaMeter {
  #seconds: number | null = null;
  #ranMs = 0;

  /** Takes a reading: the time left at the present rates, null where it is not known, and the running time so far. */
  add(seconds: number | null, ranMs: number): void {
    const shown = this.#seconds;
    const passed = (ranMs - this.#ranMs) / 1_000;
    this.#ranMs = ranMs;
    if (seconds === null || (seconds > 0 && ranMs < knownAfterMs)) return;
    const counted = shown === null ? Infinity : Math.max(0, shown - passed);
    const isSwing = seconds > counted && seconds - counted <= Math.max(swingSeconds, counted * swing);
    if (!isSwing) this.#seconds = seconds;
  }

  /** Null until it can be known. */
  seconds(): number | null {
    return this.#seconds;
  }
}
