import type { Primary } from '../cluster/primary/primary.ts';
import { type ErrorCode, fail } from '../errors.ts';

/** A call that runs migrations, from its beginning to its end, its wait for the calls before it included. */
export interface Call {
  primary: Primary | null;
  stopped: [ErrorCode, 'drain' | 'abort'] | null;
  /** Aborts when it is stopped: for what only waits. */
  readonly waiting: AbortController;
}

/** The calls of a migrator, which are made one after another. */
export class Turns {
  readonly #calls = new Set<Call>();
  readonly #begin: () => void;
  #turn: Promise<unknown> = Promise.resolve();

  /** `begin`: done before each of them. */
  constructor(begin: () => void) {
    this.#begin = begin;
  }

  take<T>(work: (call: Call) => Promise<T>): Promise<T> {
    const call: Call = { primary: null, stopped: null, waiting: new AbortController() };
    this.#calls.add(call);
    const mine = this.#turn
      .then(() => {
        call.waiting.signal.throwIfAborted();
        this.#begin();
        return work(call);
      })
      .finally(() => this.#calls.delete(call));
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  /** Stops the one that runs, and those that wait. */
  stop(code: ErrorCode, how: 'drain' | 'abort'): void {
    for (const call of this.#calls) {
      call.stopped = [code, how];
      call.waiting.abort(fail(code, { message: 'stopped waiting; nothing was run here' }));
      call.primary?.stop(code, how);
    }
  }

  /** Settles when none runs any more. */
  async ended(): Promise<void> {
    await this.#turn;
  }
}
