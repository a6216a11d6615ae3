import type { Signal } from './signal.ts';

// A failover of a replica, a restart of an endpoint.
const patienceMs = 15_000;

/** Holds a run when a signal that somebody has asked for cannot be read for a while, or could never be read yet. */
export class Patience {
  readonly #name: string;
  #readAt = -Infinity;

  constructor(name: string) {
    this.#name = name;
  }

  /** It could be read. */
  read(nowMs: number): void {
    this.#readAt = nowMs;
  }

  /** It could not, for this reason; null: that is not for long enough. */
  failed(error: string, nowMs: number): Signal | null {
    if (nowMs - this.#readAt < patienceMs) return null;
    const kind = `${this.#name} cannot be read`;
    return { kind, text: `${kind}: ${error}`, response: 'hold', isLoad: false };
  }
}
