import { openControl } from '../cluster/worker/control.ts';
import type { Config } from '../config/config.ts';
import type { Connection } from '../config/database.ts';
import { shareOf } from '../core/targets/share.ts';
import { fail, stopCodes } from '../errors.ts';
import { type Logger, loggerOf } from '../logger.ts';
import { type Migrator, type StopReason, openMigrator } from '../migrator/migrator.ts';
import type { Session } from '../postgres/session.ts';
import { type PoolOptions, type TargetEnd, type Watching, overTargets } from './pool.ts';
import type { Target } from './resolve.ts';

/** One target that is worked on. */
export interface AtTarget {
  readonly target: Target;
  /** Of this target, with its part of processes and lanes. */
  readonly config: Config;
  readonly logger: Logger;
  readonly migrator: Migrator;
}

/** Works on targets, so many at a time, with a migrator of its own for each, and hands connections on from one to the next. */
export class Fleet {
  readonly targets: readonly Target[];
  readonly #logger: Logger;
  readonly #atOnce: number;
  readonly #atWork = new Set<Migrator>();
  readonly #stop = new AbortController();
  readonly #kept: { readonly connection: Connection; readonly session: Session }[] = [];
  #stopped: StopReason | null = null;

  constructor(targets: readonly Target[], atOnce: number, logger: Logger) {
    this.targets = targets;
    this.#atOnce = Math.min(atOnce, targets.length);
    this.#logger = logger;
  }

  /** What has stopped it; null: nothing. */
  get stopped(): StopReason | null {
    return this.#stopped;
  }

  /** Aborts when nothing more is to begin. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Begins nothing more, and stops what runs. */
  stop(reason: StopReason, how: 'drain' | 'abort'): void {
    this.#stopped ??= reason;
    this.#stop.abort(fail(stopCodes[reason], { message: 'stopped before any work started' }));
    for (const migrator of this.#atWork) migrator.stop(reason, how);
  }

  /** Does `work` in each target; in their order, what became of it. */
  async each<T>(
    work: (at: AtTarget) => Promise<T>,
    watching: Watching | null = null,
    options: Pick<PoolOptions, 'first' | 'failFast'> = { first: 0, failFast: false },
  ): Promise<readonly TargetEnd<T>[]> {
    const pool = { ...options, atOnce: this.#atOnce, signal: this.#stop.signal };
    return await overTargets(this.targets, pool, (target) => this.#at(target, work), watching);
  }

  async close(): Promise<void> {
    await Promise.all(this.#kept.splice(0).map(({ session }) => session.end()));
  }

  async #at<T>(target: Target, work: (at: AtTarget) => Promise<T>): Promise<T> {
    const { tuning, database } = target.config;
    const share = shareOf(tuning, this.#atOnce);
    const config = { ...target.config, tuning: { ...tuning, ...share } };
    if (database.kind !== 'connection') throw fail('INTERNAL', { message: 'a target has no connection' });
    const { connection } = database;
    const logger = loggerOf(this.#logger, target.name);
    const control = openControl(config);
    const taken = this.#taken(connection);
    if (taken !== null) control.adopt(taken);
    const migrator = await openMigrator(config, logger, control);
    this.#atWork.add(migrator);
    try {
      // Between the look at the signal and here.
      this.signal.throwIfAborted();
      return await work({ target, config, logger, migrator });
    } finally {
      this.#atWork.delete(migrator);
      await this.#keep(connection, await migrator.release());
    }
  }

  #taken(connection: Connection): Session | null {
    const at = this.#kept.findIndex((one) => one.connection === connection && one.session.usable);
    return at < 0 ? null : (this.#kept.splice(at, 1)[0]?.session ?? null);
  }

  /** No more than are worked on at a time: each target may have a server of its own. */
  async #keep(connection: Connection, session: Session | null): Promise<void> {
    if (session === null) return;
    this.#kept.push({ connection, session });
    if (this.#kept.length > this.#atOnce) await this.#kept.shift()?.session.end();
  }
}
