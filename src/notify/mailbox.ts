import { setTimeout as sleep } from 'node:timers/promises';
import type { NotifyTarget } from '../config/notify.ts';
import { backoffMs } from '../core/values/backoff.ts';
import { messageOf } from '../errors.ts';
import type { Refusal } from './deliver.ts';
import { type Notification, joined } from './notification.ts';

/** A notification that was given up. */
export interface Undelivered {
  readonly notification: Notification;
  readonly target: NotifyTarget;
  /** Why its latest try failed. */
  readonly error: string;
}

// A receiver may be deployed in the meantime; one that is gone does not come back.
const giveUpMs = 10 * 60_000;
const tryMs = 10_000;
const mostWaiting = 100;
const patient = { baseMs: 1_000, capMs: 60_000 };
// The command waits.
const atTheEnd = { baseMs: 200, capMs: 1_000 };

/** What waits to be delivered to one target, in order, one at a time: a slow receiver gets no crowd. */
export class Mailbox {
  readonly #target: NotifyTarget;
  readonly #giveUp: (undelivered: Undelivered) => void;
  readonly #waiting: Notification[] = [];
  /** Aborts when no further try is made. */
  readonly #closed = new AbortController();
  /** Aborts when the command waits for what is left. */
  readonly #hurry = new AbortController();
  #working: Promise<void> | null = null;

  constructor(target: NotifyTarget, giveUp: (undelivered: Undelivered) => void) {
    this.#target = target;
    this.#giveUp = giveUp;
  }

  add(notification: Notification): void {
    const target = this.#target;
    const last = this.#waiting.at(-1);
    const both = last === undefined ? null : joined(last, notification);
    if (both !== null) this.#waiting[this.#waiting.length - 1] = both;
    else if (this.#waiting.length < mostWaiting) this.#waiting.push(notification);
    else this.#giveUp({ notification, target, error: `${mostWaiting} others were waiting` });
    this.#working ??= this.#work();
  }

  /** Tries what is left at once, and settles when nothing is. */
  async finish(): Promise<void> {
    this.#hurry.abort();
    await this.#working;
  }

  /** Gives up what is left, and settles when that is told. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#working;
  }

  async #work(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const error = await this.#deliver(next);
      if (error !== null) this.#giveUp({ notification: next, target: this.#target, error });
    }
    this.#working = null;
  }

  /** Null once it is delivered; otherwise why not. */
  async #deliver(notification: Notification): Promise<string | null> {
    const givesUpAt = performance.now() + giveUpMs;
    let error = 'the command ended before it could be delivered';
    for (let attempt = 1; !this.#closed.signal.aborted; attempt += 1) {
      const refusal = await this.#try(notification);
      if (refusal === null) return null;
      error = refusal.error;
      if (refusal.isFinal || performance.now() > givesUpAt) return error;
      const isOver = this.#hurry.signal.aborted;
      const waitMs = backoffMs(attempt, Math.random, isOver ? atTheEnd : patient);
      const signal = AbortSignal.any([this.#closed.signal, ...(isOver ? [] : [this.#hurry.signal])]);
      await sleep(Math.max(waitMs, refusal.waitMs ?? 0), undefined, { signal }).catch(() => undefined);
    }
    return error;
  }

  async #try(notification: Notification): Promise<Refusal | null> {
    const late = new AbortController();
    const signal = AbortSignal.any([late.signal, this.#closed.signal]);
    const timer = setTimeout(() => late.abort(), tryMs);
    try {
      const { deliver } = await import('./deliver.ts');
      // A function need not listen to the signal.
      const aborted = new Promise<Refusal>((resolve) => {
        const error = `no answer within ${tryMs / 1_000} s`;
        const unanswered = (): void =>
          resolve({
            error: late.signal.aborted ? error : 'no answer before the command ended',
            isFinal: false,
          });
        if (signal.aborted) unanswered();
        signal.addEventListener('abort', unanswered, { once: true });
      });
      return await Promise.race([aborted, deliver(this.#target, notification, signal)]);
    } catch (error) {
      return { error: withoutPaths(messageOf(error)), isFinal: false };
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A function may throw an error that names its URL, and whoever knows its path may post there. */
function withoutPaths(text: string): string {
  return text.replaceAll(/(\w+:\/\/)(?:[^\s/@]*@)?([^\s/]+)\/\S*/g, '$1$2/…');
}
