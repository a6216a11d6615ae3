import { setTimeout as sleep } from 'node:timers/promises';
import type { Control } from '../cluster/worker/control.ts';
import type { Config } from '../config/config.ts';
import { lookPauseMs } from '../core/values/look-pause.ts';
import { UmzugClusterError, fail, isStop } from '../errors.ts';
import { findLedger } from '../ledger/ledger.ts';
import type { RunningRun } from '../ledger/run/runs.ts';
import type { Logger } from '../logger.ts';
import { listMigrations } from '../migration/file/folder.ts';
import { reading } from '../postgres/transaction.ts';
import type { MigrationOutcome, Migrator, StopReason } from './migrator.ts';

/** What a worker does at this moment, as its health endpoint tells it. */
export interface Standing {
  readonly state: 'starting' | 'waiting' | 'working' | 'refused' | 'unavailable' | 'stopping';
  readonly migration: string | null;
  /** Why it does not work. */
  readonly message: string | null;
  readonly hint: string | null;
}

export interface JoinerInput {
  readonly config: Config;
  /** That of the migrator, too: an idle worker has one connection. */
  readonly control: Control;
  readonly migrator: Migrator;
  readonly logger: Logger;
  /** Is told when the database does not answer, and is asked again. */
  readonly onTrouble: (what: string) => void;
  readonly onOutcome: (outcome: MigrationOutcome) => void;
}

// A refused run is planned again each time: its files may have been deployed in the meantime.
const againMs = 30_000;

const idle = { migration: null, message: null, hint: null };

/**
 * Joins what other hosts run, one run after another, until it is stopped. It begins no migration and resumes none that is
 * held or has failed; one that is running is worked on whether or not the host that began it is still there.
 */
export class Joiner {
  readonly #input: JoinerInput;
  readonly #stopped = new AbortController();
  /** When each run that this host cannot join was refused last. */
  readonly #refused = new Map<string, { readonly at: number; readonly standing: Standing }>();
  #standing: Standing = { state: 'starting', ...idle };
  /** The run that this host joins, or works on. */
  #joined: string | null = null;

  constructor(input: JoinerInput) {
    this.#input = input;
  }

  get standing(): Standing {
    return this.#stopped.signal.aborted ? { ...this.#standing, state: 'stopping' } : this.#standing;
  }

  /** Joins nothing from now on; chunks that are under way finish, or are destroyed. */
  stop(reason: StopReason, how: 'drain' | 'abort'): void {
    this.#stopped.abort();
    if (this.#joined !== null) this.#input.migrator.stop(reason, how);
    else this.#input.control.cut(fail('STOPPED', { message: 'the worker was stopped' }));
  }

  /** Resolves once it was stopped. Rejects with what is no refusal and no outage: a bug, or a damaged ledger. */
  async work(): Promise<void> {
    const { signal } = this.#stopped;
    let idleSince = performance.now();
    while (!signal.aborted) {
      const hasWorked = await this.#joinNext().catch((error: unknown) => this.#notJoined(null, error));
      if (hasWorked) idleSince = performance.now();
      const pauseMs = lookPauseMs(performance.now() - idleSince, Math.random);
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Works on the oldest run that this host can join; false where there is none. */
  async #joinNext(): Promise<boolean> {
    const { config, control, onTrouble } = this.#input;
    control.onTrouble = (trouble) => {
      const migration = this.#joined;
      if (trouble !== null) {
        this.#be({ ...idle, state: 'unavailable', migration, message: trouble.what });
        onTrouble(trouble.what);
      } else if (migration !== null) {
        this.#standing = { ...idle, state: 'working', migration };
      }
    };
    const running = await control.use((session) =>
      reading(
        session,
        async () => (await (await findLedger(session, config.ledgerSchema))?.runs.running()) ?? [],
      ),
    );
    const keys = new Set(running.map(keyOf));
    for (const key of this.#refused.keys()) if (!keys.has(key)) this.#refused.delete(key);
    const isDue = (one: RunningRun): boolean =>
      performance.now() - (this.#refused.get(keyOf(one))?.at ?? -Infinity) > againMs;
    const run = running.find(isDue);
    if (run === undefined) {
      const [first] = this.#refused.values();
      this.#be(first?.standing ?? { ...idle, state: 'waiting' });
      return false;
    }
    return await this.#join(run).catch((error: unknown) => this.#notJoined(run, error));
  }

  async #join(run: RunningRun): Promise<boolean> {
    const { config, migrator, onOutcome } = this.#input;
    const files = await listMigrations(config.migrationsDirs);
    if (!files.some(({ name }) => name === run.name)) throw missing(run.name, config.migrationsDirs);
    if (this.#stopped.signal.aborted) return false;
    this.#joined = run.name;
    this.#standing = { ...idle, state: 'working', migration: run.name };
    try {
      for (const outcome of await migrator.resume(run.name, 'running')) onOutcome(outcome);
    } finally {
      this.#joined = null;
    }
    this.#refused.delete(keyOf(run));
    return true;
  }

  /** Says what keeps this host from working, and goes back to waiting; false: nothing was done. */
  #notJoined(run: RunningRun | null, error: unknown): false {
    if (this.#stopped.signal.aborted && error instanceof UmzugClusterError && isStop(error.code))
      return false;
    if (!(error instanceof UmzugClusterError) || error.exitCode === 70) throw error;
    const { code, message, detail, hint = null } = error;
    const migration = run?.name ?? null;
    if (error.exitCode === 4) {
      this.#be({ state: 'unavailable', migration, message, hint });
      return false;
    }
    // Paused, cancelled or ended in the meantime.
    if (isStop(code)) return false;
    const standing: Standing = { state: 'refused', migration, message, hint };
    if (run !== null) this.#refused.set(keyOf(run), { at: performance.now(), standing });
    this.#be(standing, detail);
    return false;
  }

  /** Changes what is told of this host, and logs what is new of it. */
  #be(standing: Standing, detail?: string): void {
    const { state, migration, message, hint } = standing;
    const isNew = state !== this.#standing.state || message !== this.#standing.message;
    this.#standing = standing;
    if (!isNew) return;
    const { logger } = this.#input;
    if (message === null) {
      logger.info({ event: 'join.waiting' }, 'waiting for a run to join');
      return;
    }
    const fields = { migration, error: message, detail: detail ?? null, hint };
    const what = state === 'refused' ? 'not joined' : 'waiting';
    logger.warn(
      { event: 'join.prevented', ...fields },
      `${what}: ${message}${hint === null ? '' : `; ${hint}`}`,
    );
  }
}

/** A run that was paused and resumed in between is another one. */
function keyOf({ id, epoch }: RunningRun): string {
  return `${id}:${epoch}`;
}

function missing(name: string, folders: readonly string[]): Error {
  return fail('DRIFT', {
    message: `${name} is running, and its file is missing on this host`,
    detail: `looked in ${folders.join(', ')}`,
    hint: 'deploy the release that has started it to this host as well',
  });
}
