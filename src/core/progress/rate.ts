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

  /** What passes until the next reading is no running time: waiting, or a database that is away. */
  skip(): void {
    this.#last = null;
  }
}
