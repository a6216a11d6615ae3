import { type Decision, type Held, HeldWatch, free } from '../core/throttle/decision.ts';
import type { Reason } from '../core/throttle/signal.ts';

/** A decision as it is handed to a gate, also of another process. */
export interface Ruling {
  readonly decision: Decision;
  /** Somebody has asked for a signal: without word for a while no chunk may begin. */
  readonly isAsked: boolean;
}

// As long as a single signal may be unknown.
const silentMs = 15_000;
const unread: Reason = {
  kind: 'nothing of throttle could be read',
  text: `nothing of throttle could be read for ${silentMs / 1_000} s`,
};

/** What the lanes of a process ask before each chunk: it answers at once. */
export class ThrottleGate {
  readonly #watch = new HeldWatch();
  #ruling: Ruling = { decision: free, isAsked: false };
  #setAt = -Infinity;
  #hold = new AbortController();

  get decision(): Decision {
    const { decision, isAsked } = this.#ruling;
    const isStale = isAsked && performance.now() - this.#setAt > silentMs;
    return isStale && decision.hold === null ? { ...decision, hold: unread } : decision;
  }

  set(ruling: Ruling): void {
    this.#ruling = ruling;
    this.#setAt = performance.now();
    if (ruling.decision.hold !== null) return;
    this.#hold.abort();
    this.#hold = new AbortController();
  }

  /** Aborts when chunks may begin that may not now. */
  get released(): AbortSignal {
    return this.#hold.signal;
  }

  /** What is told of it at this moment, to be asked again and again; null: nothing. */
  tell(): Held | null {
    return this.#watch.tell(this.decision, performance.now());
  }
}
