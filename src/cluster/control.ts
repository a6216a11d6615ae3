import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../core/backoff.ts';
import { missingGrant } from '../core/missing-grant.ts';
import { connectAdvice } from '../core/connect-advice.ts';
import { UmzugClusterError, fail, messageOf } from '../errors.ts';
import type { SessionOptions } from '../postgres/client-config.ts';
import { Session } from '../postgres/session.ts';
import type { Config } from '../config.ts';
import { sessionOptions } from '../run/environment.ts';
import { codeOf, judgeError, unavailable } from '../run/failure.ts';

/**
 * The primary's own connection, beside those of its lanes. Calls take turns on it; a lost connection is
 * opened again and the call is made again, within the budget. Every call must bear being repeated.
 */
export class Control {
  readonly #options: SessionOptions;
  readonly #budgetMs: number;
  readonly #label: string;
  readonly #cut = new AbortController();
  #session: Session | null = null;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: SessionOptions, budgetMs: number, label: string) {
    this.#options = options;
    this.#budgetMs = budgetMs;
    this.#label = label;
  }

  /** Runs `work` on the connection, after the calls before it. */
  use<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const mine = this.#turn.then(() => this.#retried(work));
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  /**
   * Tries `work` once, on a connection that is there, for so long and until `signal` aborts; null where that
   * fails. For what is good to know and no more.
   */
  attempt<T>(work: (session: Session) => Promise<T>, ms: number, signal: AbortSignal): Promise<T | null> {
    const mine = this.#turn.then(() => this.#attempted(work, ms, signal));
    this.#turn = mine;
    return mine;
  }

  /** Cuts the connection: what waits for it rejects, and so does every later call. For the end of a command. */
  cut(reason: Error): void {
    this.#cut.abort(reason);
    this.#session?.destroy(reason);
  }

  async close(): Promise<void> {
    await this.#turn;
    await this.#session?.end();
  }

  async #attempted<T>(
    work: (session: Session) => Promise<T>,
    ms: number,
    signal: AbortSignal,
  ): Promise<T | null> {
    const session = this.#session;
    if (session?.usable !== true || signal.aborted) return null;
    const giveUp = (): void => session.destroy();
    const timer = setTimeout(giveUp, ms);
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      return await work(session);
    } catch {
      return null;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
    }
  }

  async #retried<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const { signal } = this.#cut;
    let failingSince = Infinity;
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted();
      const triedAt = performance.now();
      let isConnected = false;
      try {
        const session = await this.#connected();
        isConnected = true;
        return await work(session);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof UmzugClusterError) throw error;
        const verdict = judgeError(error, this.#session);
        const now = performance.now();
        // A call may wait for others for hours: what cuts it off then is the first failure, not the last.
        const hasWorked = (this.#session?.answeredAt ?? 0) - triedAt > this.#budgetMs;
        failingSince = hasWorked ? now : Math.min(failingSince, now);
        const isOnceMore = verdict === 'once-then-shrink' && attempt === 1;
        const isTransient = verdict === 'retry' || verdict === 'retry-slow' || isOnceMore;
        if (!isTransient || now - failingSince > this.#budgetMs) {
          throw this.#explain(error, isTransient || verdict === 'refused' || !isConnected);
        }
        const waitMs = backoffMs(attempt, Math.random, { baseMs: 100, capMs: 2_000 });
        await sleep(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    }
  }

  #explain(error: unknown, isUnavailable: boolean): unknown {
    const code = codeOf(error) ?? codeOf(this.#session?.lost);
    if (code === '25006') {
      return fail('DATABASE_READ_ONLY', {
        message: `the database ${this.#label} is read-only: ${messageOf(error)}`,
        detail: 'a standby, or a server that was set so',
        hint: 'give the URL of the primary, then run the command again',
        cause: error,
      });
    }
    if (isUnavailable) {
      const what = `cannot work with the database ${this.#label}`;
      // The cause of a lost connection comes on its `error` event, and the rejected query has no code.
      const cause = codeOf(error) === undefined ? (this.#session?.lost ?? error) : error;
      const advice = connectAdvice(codeOf(cause), messageOf(cause));
      return unavailable(what, cause, { again: 'the command', advice });
    }
    if (code === '57014') {
      return fail('DATABASE_UNAVAILABLE', {
        message: `a statement was cancelled twice: ${messageOf(error)}`,
        detail: 'by a person, or by the time limit of a statement; it was rolled back',
        hint: 'run the command again; if the time limit is too short, raise statementTimeoutMs',
        cause: error,
      });
    }
    if (code === '42501') {
      const said = messageOf(error);
      const hint = missingGrant(said, this.#session?.client.user ?? 'the role');
      return fail('PERMISSION', { message: `the role may not do this: ${said}`, hint, cause: error });
    }
    return error;
  }

  async #connected(): Promise<Session> {
    if (this.#session?.usable === true) return this.#session;
    // What a lost connection was lost for says nothing about the next one.
    this.#session = null;
    this.#session = await Session.open(this.#options, this.#cut.signal);
    return this.#session;
  }
}

/** A control connection to the configured database, opened with its first call. */
export function openControl(config: Config): Control {
  const label = config.database.kind === 'connection' ? config.database.label : 'embedded';
  return new Control(sessionOptions(config), config.tuning.retryBudgetMs, label);
}
