import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionUse } from '../../core/values/application-name.ts';
import { backoffMs, slowly } from '../../core/values/backoff.ts';
import type { Trouble } from '../../core/progress/progress.ts';
import { fail, codeOf } from '../../errors.ts';
import type { Direction } from '../../ledger/run/rows.ts';
import type { SessionOptions } from '../../postgres/client-config.ts';
import { Session, withSession } from '../../postgres/session.ts';
import { inOneTrip } from '../../postgres/transaction.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { judgeError, named, refusedLogin, unavailable } from './failure.ts';

// Less than what a stopped process gets to leave; a server that works answers in a few.
const lastWordMs = 500;

export interface SessionLimits {
  /** What the connection is for. */
  readonly use: ConnectionUse;
  /** Aborts when nothing is to be tried again. */
  readonly drain: AbortSignal;
  /** Aborts when the connection is to be destroyed. */
  readonly abort: AbortSignal;
  /** Shared by the lanes of a process: when the run last made progress, and what is tried again since. */
  readonly progress: { readonly lastAt: number; trouble: Trouble | null };
}

/** The connection of one lane: opened again when it is lost, and patient within the budget. */
export class RetryingSession {
  readonly #env: RunEnvironment;
  readonly #options: SessionOptions;
  readonly #direction: Direction;
  readonly #drain: AbortSignal;
  readonly #abort: AbortSignal;
  readonly #progress: SessionLimits['progress'];
  #session: Session | null = null;
  #failures = 0;
  #failingSince = Infinity;

  constructor(env: RunEnvironment, direction: Direction, { drain, abort, progress, use }: SessionLimits) {
    this.#env = env;
    this.#options = { ...env.session, use };
    this.#direction = direction;
    this.#drain = drain;
    this.#abort = abort;
    this.#progress = progress;
    // What waits for an answer now would wait for the server, or for a network that swallows it.
    abort.addEventListener('abort', this.#destroy, { once: true });
  }

  /** The connection as it is now, for judging an error. */
  get current(): Session | null {
    return this.#session;
  }

  /** A connection that works as far as is known; opens one where there is none. */
  async connected(): Promise<Session> {
    if (this.#session?.usable) return this.#session;
    // What a lost connection was lost for says nothing about the next one.
    this.#session = null;
    const early = await this.#env.early.take();
    this.#session = early ?? (await Session.open(this.#options, this.#abort));
    return this.#session;
  }

  /**
   * Runs `action`, again and again while it fails for what passes. It must bear being repeated. Throws STOPPED
   * where nothing is to begin any more.
   */
  async use<T>(action: (session: Session) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await action(await this.connected());
      } catch (error) {
        const verdict = judgeError(error, this.#session);
        if (verdict === 'refused') throw refusedLogin(error);
        if (verdict === 'stop' || verdict === 'shrink') throw error;
        await this.idle(this.backoff(error, verdict === 'retry-slow' ? 'slow' : 'quick'));
        if (this.#drain.aborted) {
          throw fail('STOPPED', { message: 'stopped while the database did not answer', cause: error });
        }
      }
    }
  }

  /** Runs one statement in a transaction of its own, in one round trip; retried as with `use`. */
  async single<T>(statement: (session: Session) => Promise<T>): Promise<T> {
    return await this.use((session) => inOneTrip(session, this.#env.pinned, () => statement(session)));
  }

  /** Runs one statement when `abort` has destroyed the connection: on another one, which gets little time. */
  async lastWord(statement: (session: Session) => Promise<unknown>): Promise<void> {
    const { pinned } = this.#env;
    const write = (session: Session): Promise<unknown> =>
      inOneTrip(session, pinned, () => statement(session));
    await withSession(this.#options, write, AbortSignal.timeout(lastWordMs));
  }

  /** Milliseconds to wait before the next try; throws DATABASE_UNAVAILABLE when the budget is used up. */
  backoff(error: unknown, pace: 'quick' | 'slow'): number {
    const now = performance.now();
    this.#failingSince = Math.min(this.#failingSince, now);
    const idleMs = now - Math.max(this.#progress.lastAt, this.#failingSince);
    const { retryBudgetMs } = this.#env.tuning;
    // The cause of a lost connection comes on its `error` event, and the rejected query has no code.
    const cause = codeOf(error) === undefined ? (this.#session?.lost ?? error) : error;
    const [why] = named(cause).split('\n');
    this.#progress.trouble = { what: `trying again: ${why}`, givesUpAt: now - idleMs + retryBudgetMs };
    if (idleMs > retryBudgetMs) {
      const again = `\`${this.#direction}\``;
      throw unavailable(`no progress for ${Math.round(idleMs / 1_000)} s`, cause, { again });
    }
    this.#failures += 1;
    return backoffMs(this.#failures, Math.random, pace === 'slow' ? slowly : undefined);
  }

  /** Starts the backoff and the budget again. */
  succeeded(): void {
    this.#failures = 0;
    this.#failingSince = Infinity;
  }

  /** Waits for so long, or until `wake` aborts. */
  async idle(ms: number, wake?: AbortSignal): Promise<void> {
    const signal = wake === undefined ? this.#drain : AbortSignal.any([this.#drain, wake]);
    await sleep(ms, undefined, { signal }).catch(() => undefined);
  }

  async close(): Promise<void> {
    this.#abort.removeEventListener('abort', this.#destroy);
    await this.#session?.end();
  }

  readonly #destroy = (): void => this.#session?.destroy();
}
