import { grouped } from '../values/numbers.ts';
import type { Standing } from './standing.ts';

export interface EtaReading {
  readonly now: Standing;
  /** The time left at the present rates, in seconds; null until it can be known. */
  readonly seconds: number | null;
  readonly rowsPerSecond: number | null;
  /** Running time only, in milliseconds: what passes while the run waits does not count. */
  readonly ranMs: number;
}

// The first second is warming up: chunks are small and workers are being forked.
const knownAfterMs = 1_000;

// The rate swings by so much without anything having happened.
const swing = 0.3;
const swingSeconds = 2;

// An estimate of rows that is corrected by less has not caused it.
const moreBy = 1.1;

// Long enough to be read.
const reasonShownMs = 10_000;

/**
 * The time left, as people want to read it: it goes down with the clock. Where the estimate grows, it stands still
 * while that may be the swing of the rate, and then jumps, with the reason.
 */
export class EtaMeter {
  #seconds: number | null = null;
  #last: EtaReading | null = null;
  /** When the time left last was what the rate says. */
  #steady: EtaReading | null = null;
  #grown: { readonly why: string; readonly ranMs: number } | null = null;

  add(reading: EtaReading): void {
    const last = this.#last;
    this.#last = reading;
    const { now, seconds: found, ranMs } = reading;
    if (now.keysLeft === 0) this.#seconds = 0;
    if (found === null || ranMs < knownAfterMs) return;
    const shown = this.#seconds;
    if (shown === null) return this.#settle(found, reading);
    const counted = Math.max(0, shown - (last === null ? 0 : (ranMs - last.ranMs) / 1_000));
    if (found <= counted) return this.#settle(found, reading);
    if (found - counted <= Math.max(swingSeconds, counted * swing)) return;
    const { now: before, rowsPerSecond } = this.#steady ?? reading;
    const hasMore = (now.rowsEstimated ?? 0) > (before.rowsEstimated ?? Infinity) * moreBy;
    const was = grouped(rowsPerSecond ?? 0);
    this.#grown = { why: hasMore ? 'more rows than estimated' : `slower than ${was} rows/s`, ranMs };
    this.#settle(found, reading);
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

  #settle(seconds: number, reading: EtaReading): void {
    this.#seconds = seconds;
    this.#steady = reading;
  }
}
