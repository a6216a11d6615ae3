import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../../core/values/backoff.ts';
import { ledgerGrant } from '../../core/errors/missing-grant.ts';
import { connectAdvice } from '../../core/errors/connect-advice.ts';
import type { Trouble } from '../../core/progress/progress.ts';
import { UmzugClusterError, fail, messageOf, codeOf } from '../../errors.ts';
import { routineOf } from '../../migration/handle/mistake-behind.ts';
import type { SessionOptions } from '../../postgres/client-config.ts';
import { Session } from '../../postgres/session.ts';
import { onStandby } from '../../postgres/supported.ts';
import type { Config } from '../../config/config.ts';
import { databaseLabel } from '../../config/database.ts';
import { sessionOptions } from '../../run/context/environment.ts';
import { judgeError, unavailable } from '../../run/lane/failure.ts';

// Who types a command with the wrong host should not wait for as long as a failover may take.
const firstBudgetMs = 20_000;

/**
 * The primary's own connection, beside those of its lanes. Calls take turns on it; a lost connection is
 * opened again and the call is made again, within the budget. Every call must bear being repeated.
 */
export class Control {
  readonly #options: SessionOptions;
  readonly #budgetMs: number;
  readonly #label: string;
  /** The budget until a call has succeeded. */
  readonly #firstMs: number;
  #hasWorked: boolean;
  /** Called with each transient failure, and with null when the call that had it is over. Null: nobody is told. */
  onTrouble: ((trouble: Trouble | null) => void) | null = null;
  #cut = new AbortController();
  #session: Session | null = null;
  #turn: Promise<unknown> = Promise.resolve();

  /** `isFirst`: nothing of this command has reached the database yet. */
  constructor(options: SessionOptions, budgetMs: number, label: string, isFirst = true) {
    this.#options = options;
    this.#budgetMs = budgetMs;
    this.#label = label;
    this.#firstMs = Math.min(budgetMs, firstBudgetMs);
    this.#hasWorked = !isFirst;
  }

  /** Throws DATABASE_READ_ONLY on a standby, before anything else is asked of it. */
  async requirePrimary(): Promise<void> {
    if (await this.use((session) => session.isStandby())) throw this.#readOnly(new Error(onStandby));
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
  attempt<T>(work: (session: Session) => Promise<T>, ms: number, signal?: AbortSignal): Promise<T | null> {
    const mine = this.#turn.then(() => this.#attempted(work, ms, signal));
    this.#turn = mine;
    return mine;
  }

  /** Cuts the connection: what waits for it rejects, and so does every later call, until it is restored. */
  cut(reason: Error): void {
    this.#cut.abort(reason);
    this.#session?.destroy(reason);
  }

  /** Lets calls through again, on another connection. */
  restore(): void {
    if (this.#cut.signal.aborted) this.#cut = new AbortController();
  }

  async close(): Promise<void> {
    await (await this.release())?.end();
  }

  /** Takes a connection that another one of these has released. */
  adopt(session: Session): void {
    this.#session = session;
  }

  /** Gives its connection away after the calls before; null where there is none, or it must not be used any more. */
  async release(): Promise<Session | null> {
    await this.#turn;
    const session = this.#session;
    this.#session = null;
    if (session === null || session.usable) return session;
    await session.end();
    return null;
  }

  async #attempted<T>(
    work: (session: Session) => Promise<T>,
    ms: number,
    signal: AbortSignal | undefined,
  ): Promise<T | null> {
    const session = this.#session;
    if (session?.usable !== true || signal?.aborted === true) return null;
    const giveUp = (): void => session.destroy();
    const timer = setTimeout(giveUp, ms);
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      return await work(session);
    } catch {
      return null;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
    }
  }

  async #retried<T>(work: (session: Session) => Promise<T>): Promise<T> {
    let failingSince = Infinity;
    try {
      for (let attempt = 1; ; attempt += 1) {
        this.#cut.signal.throwIfAborted();
        const triedAt = performance.now();
        let isConnected = false;
        try {
          const session = await this.#connected();
          isConnected = true;
          const result = await work(session);
          this.#hasWorked = true;
          return result;
        } catch (error) {
          // A call may wait for others for hours: what cuts it off then is the first failure, not the last.
          const hasWorked = (this.#session?.answeredAt ?? 0) - triedAt > this.#budgetMs;
          const now = performance.now();
          failingSince = hasWorked ? now : Math.min(failingSince, now);
          this.#throwUnlessPassing(error, isConnected, { attempt, failingSince });
          const waitMs = backoffMs(attempt, Math.random);
          await sleep(waitMs, undefined, { signal: this.#cut.signal }).catch(() => undefined);
        }
      }
    } finally {
      if (failingSince < Infinity) this.onTrouble?.(null);
    }
  }

  /** Tells of a failure that passes, and throws every other, and one for which there is no time any more. */
  #throwUnlessPassing(
    error: unknown,
    isConnected: boolean,
    { attempt, failingSince }: { readonly attempt: number; readonly failingSince: number },
  ): void {
    this.#cut.signal.throwIfAborted();
    if (error instanceof UmzugClusterError) throw error;
    const verdict = judgeError(error, this.#session);
    const isOnceMore = verdict === 'once-then-shrink' && attempt === 1;
    const isTransient = verdict === 'retry' || verdict === 'retry-slow' || isOnceMore;
    const givesUpAt = failingSince + (this.#hasWorked ? this.#budgetMs : this.#firstMs);
    if (!this.#hasWorked && messageOf(error).startsWith(onStandby)) throw this.#readOnly(error);
    const isMistyped = !this.#hasWorked && codeOf(error) === 'ENOTFOUND';
    if (!isTransient || isMistyped || performance.now() > givesUpAt) {
      throw this.#explain(error, isTransient || verdict === 'refused' || !isConnected);
    }
    const verb = this.#session?.usable === true ? 'trying again on' : 'reconnecting to';
    const [why] = messageOf(this.#causeOf(error)).split('\n');
    this.onTrouble?.({ what: `${verb} ${this.#label} (${why})`, givesUpAt });
  }

  /** The cause of a lost connection comes on its `error` event, and the rejected query has no code. */
  #causeOf(error: unknown): unknown {
    return codeOf(error) === undefined ? (this.#session?.lost ?? error) : error;
  }

  #readOnly(error: unknown): UmzugClusterError {
    return fail('DATABASE_READ_ONLY', {
      message: `the database ${this.#label} is read-only: ${messageOf(error)}`,
      detail: 'it is a standby, or was set to read-only',
      hint: 'no progress is lost; give the URL of the primary, then run the command again',
      cause: error,
    });
  }

  #explain(error: unknown, isUnavailable: boolean): unknown {
    const code = codeOf(error) ?? codeOf(this.#session?.lost);
    if (code === '25006') return this.#readOnly(error);
    if (isUnavailable) {
      const what = `cannot work with the database ${this.#label}`;
      const cause = this.#causeOf(error);
      const advice = connectAdvice(codeOf(cause), messageOf(cause));
      return unavailable(what, cause, { again: 'the command', advice });
    }
    if (code === '57014') {
      return fail('DATABASE_UNAVAILABLE', {
        message: `a statement was cancelled twice: ${messageOf(error)}`,
        detail: 'by a person or by statement_timeout; it was rolled back',
        hint: 'run the command again; if the timeout is too short, raise statementTimeoutMs',
        cause: error,
      });
    }
    if (code === '42501') {
      const said = messageOf(error);
      const hint = ledgerGrant(said, this.#session?.client.user ?? 'the role');
      return fail('PERMISSION', { message: said, hint, cause: error });
    }
    // What the tool asks before a run goes as far as the author's query does.
    if (code?.startsWith('54') === true) {
      return fail('SELECT_REFUSED', {
        message: `select exceeds a limit of Postgres: ${messageOf(error)}`,
        detail: `SQLSTATE ${code}; nothing was changed`,
        hint: 'have select name only the columns that update reads',
        cause: error,
      });
    }
    // No statement of the tool's own raises anything: a trigger of the database's owner does.
    if (routineOf(error) === 'exec_stmt_raise') {
      return fail('PERMISSION', {
        message: `a function of the database refuses this: ${messageOf(error)}`,
        detail: `SQLSTATE ${code}, raised by a function such as that of an event trigger; nothing was changed`,
        hint: 'have the function let the role pass, or ask whom it belongs to, then run the command again',
        cause: error,
      });
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
export function openControl(config: Config, more: Partial<SessionOptions> = {}): Control {
  return new Control(
    { ...sessionOptions(config), ...more },
    config.tuning.retryBudgetMs,
    databaseLabel(config.database),
  );
}
