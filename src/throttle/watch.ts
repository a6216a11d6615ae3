import { setTimeout as sleep } from 'node:timers/promises';
import { type Decision, Decider } from '../core/throttle/decision.ts';
import { Patience } from '../core/throttle/patience.ts';
import type { Signal } from '../core/throttle/signal.ts';
import { messageOf } from '../errors.ts';
import type { Ruling } from './gate.ts';
import type { Source } from './source.ts';

// Whoever does not answer by then is not asked in time.
const answerMs = 5_000;

/** Reads all sources again and again until it is ended, each at its own pace, and rules on what they say together. */
export class ThrottleWatch {
  readonly #sources: readonly Source[];
  readonly #maxHoldMs: () => number | null;
  readonly #rule: (ruling: Ruling) => void;
  readonly #decider = new Decider();
  readonly #signals = new Map<Source, readonly Signal[]>();
  readonly #over = new AbortController();
  /** Settles when everything that somebody has asked for was read once, or could not be. */
  readonly ready: Promise<unknown>;

  constructor(sources: readonly Source[], maxHoldMs: () => number | null, rule: (ruling: Ruling) => void) {
    this.#sources = sources;
    this.#maxHoldMs = maxHoldMs;
    this.#rule = rule;
    this.ready = Promise.all(
      sources.map((source) => {
        let isRead = (): void => undefined;
        const first = new Promise<void>((resolve) => (isRead = resolve));
        void this.#watch(source, isRead);
        return source.isAsked ? first : Promise.resolve();
      }),
    );
  }

  end(): void {
    this.#over.abort();
  }

  async #watch(source: Source, isRead: () => void): Promise<void> {
    const { signal } = this.#over;
    const patience = new Patience(source.name);
    // The first chunks of a run do not wait for a look that nobody has asked for, nor share its server with it.
    if (!source.isAsked) await this.#pause(source.everyMs);
    while (!signal.aborted) {
      const found = await this.#read(source, patience);
      if (signal.aborted) break;
      this.#signals.set(source, found);
      this.#publish();
      isRead();
      await this.#pause(source.everyMs);
    }
    isRead();
  }

  async #read(source: Source, patience: Patience): Promise<readonly Signal[]> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error(`no answer within ${answerMs / 1_000} s`)), answerMs);
    try {
      const found = await Promise.race([source.read(late.signal), rejected(late.signal)]);
      patience.read(performance.now());
      return found;
    } catch (error) {
      if (!source.isAsked) return [];
      const unread = patience.failed(messageOf(error), performance.now());
      return unread === null ? (this.#signals.get(source) ?? []) : [unread];
    } finally {
      clearTimeout(timer);
      late.abort();
    }
  }

  #publish(): void {
    const signals = this.#sources.flatMap((source) => this.#signals.get(source) ?? []);
    const decision: Decision = this.#decider.decide(signals, performance.now(), this.#maxHoldMs());
    this.#rule({ decision, isAsked: this.#sources.some(({ isAsked }) => isAsked) });
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#over.signal, ref: false }).catch(() => undefined);
  }
}

function rejected(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) =>
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
  );
}
