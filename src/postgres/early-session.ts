import type { SessionOptions } from './client-config.ts';
import { Session } from './session.ts';

// What has been idle for longer may have been dropped by a network in between, without a word.
const freshMs = 10_000;

interface Begun {
  readonly opening: Promise<Session>;
  readonly startedAt: number;
  readonly unused: AbortController;
}

/** A connection that is made before it is asked for, while something else is waited for. */
export class EarlySession {
  readonly #options: SessionOptions;
  #begun: Begun | null = null;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Begins to connect, for the first lane of a migration, until `signal` aborts. What it fails for is thrown by `take`. */
  begin(migration: string, signal: AbortSignal): void {
    if (this.#begun !== null) return;
    const unused = new AbortController();
    const options = { ...this.#options, use: { migration, lane: '1' } };
    const opening = Session.open(options, AbortSignal.any([signal, unused.signal]));
    opening.catch(() => undefined);
    this.#begun = { opening, startedAt: performance.now(), unused };
  }

  /** Hands the connection over, once; null where there is none, or it may be lost. Rejects as `Session.open` does. */
  async take(): Promise<Session | null> {
    const begun = this.#begun;
    if (begun === null) return null;
    this.#begun = null;
    const session = await begun.opening;
    if (session.usable && performance.now() - begun.startedAt < freshMs) return session;
    await session.end();
    return null;
  }

  /** Ends the connection where nobody has asked for it. Never rejects. */
  async end(): Promise<void> {
    const begun = this.#begun;
    this.#begun = null;
    begun?.unused.abort();
    const session = await begun?.opening.catch(() => null);
    await session?.end();
  }
}
