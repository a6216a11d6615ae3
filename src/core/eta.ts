import { grouped } from './numbers.ts';

export interface EtaReading {
  /** Keys that are left, whether their rows match or not. */
  readonly left: number;
  /** Keys per second, smoothed; null until it can be known. */
  readonly perSecond: number | null;
  /** Running time only, in milliseconds: what passes while the run waits does not count. */
  readonly ranMs: number;
}

// The first second is warming up: chunks are small and workers are being forked.
const knownAfterMs = 1_000;

// The rate swings by so much without anything having happened.
const swing = 0.3;
const swingSeconds = 2;

// Long enough to be read.
const reasonShownMs = 10_000;

/**
 * The time left, as people want to read it: it goes down with the clock. Where the estimate grows, it stands still
 * while that may be the swing of the rate, and then jumps, with the reason.
 */
export class EtaMeter {
  #seconds: number | null = null;
  #last: EtaReading | null = null;
  /** Rate when the time left last was what the rate says. */
  #steadyRate = 0;
  #grown: { readonly why: string; readonly ranMs: number } | null = null;

  add(reading: EtaReading): void {
    const last = this.#last;
    this.#last = reading;
    const { left, perSecond, ranMs } = reading;
    if (perSecond === null || perSecond <= 0 || ranMs < knownAfterMs) {
      if (perSecond !== null && left > 0 && this.#seconds === null) return;
      if (left <= 0) this.#seconds = 0;
      return;
    }
    const found = Math.max(0, left) / perSecond;
    const shown = this.#seconds;
    if (shown === null) return this.#settle(found, perSecond);
    const counted = Math.max(0, shown - (last === null ? 0 : (ranMs - last.ranMs) / 1_000));
    if (found <= counted) return this.#settle(found, perSecond);
    if (found - counted <= Math.max(swingSeconds, counted * swing)) return;
    const hasMore = last !== null && left > last.left;
    const was = grouped(this.#steadyRate);
    this.#grown = { why: hasMore ? 'more rows than estimated' : `slower than ${was} keys/s`, ranMs };
    this.#settle(found, perSecond);
  }

  /** Null until it can be known. */
  seconds(): number | null {
    return this.#seconds;
  }

  /** Why the time left has grown lately, or null. */
  reason(): string | null {
    const { ranMs = 0 } = this.#last ?? {};
    return this.#grown !== null && ranMs - this.#grown.ranMs <= reasonShownMs ? this.#grown.why : null;
  }

  #settle(seconds: number, perSecond: number): void {
    this.#seconds = seconds;
    this.#steadyRate = perSecond;
  }
}
