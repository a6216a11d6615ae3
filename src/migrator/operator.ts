import type { Control } from '../cluster/worker/control.ts';
import type { Config } from '../config/config.ts';
import type { Verb } from '../core/config/operate.ts';
import type { Overrides } from '../core/config/steering.ts';
import type { Direction, Run } from '../ledger/run/rows.ts';
import { listMigrations } from '../migration/file/folder.ts';
import type { Session } from '../postgres/session.ts';
import { reading, withTransaction } from '../postgres/transaction.ts';
import { makeEnvironment, readServer } from '../run/context/environment.ts';
import type { RunEnvironment } from '../run/context/environment.ts';
import { adjust, foresee, operate } from '../run/lifecycle/operate.ts';
import { readState } from './pending/state.ts';
import { unknownName } from './pending/umzug.ts';

/** How a run stands after an operator's word, as `--json` prints it. */
export interface OperatedRun {
  readonly name: string;
  readonly direction: Direction;
  readonly state: Run['state'];
  /** False where it was so already. */
  readonly changed: boolean;
}

/** What is set for a run after `set`, as `--json` prints it. */
export interface AdjustedRun {
  readonly name: string;
  readonly direction: Direction;
  /** Only what is set; everything else is as each host has configured it. */
  readonly settings: Overrides;
}

/**
 * An operator's words to a run, through the ledger: from any host, whether or not it has the migration's file.
 * Throws USAGE where a name is not known, or a run does not stand so that it could be done.
 */
export class Operator {
  readonly #config: Config;
  readonly #control: Control;

  /** @internal */
  constructor(config: Config, control: Control) {
    this.#config = config;
    this.#control = control;
  }

  /** Pauses, resumes or cancels a run, on all hosts; resumes only in the ledger, and runs nothing. */
  async tell(name: string, verb: Verb): Promise<OperatedRun> {
    const env = await this.#environment(name);
    const { run, changed } = await this.#control.use((session) => operate(session, env, name, verb));
    return { name, direction: run.direction, state: run.state, changed };
  }

  /** Changes settings of a run, on all hosts; what is set afterwards. */
  async set(
    name: string,
    change: { readonly set: Overrides; readonly cleared: readonly string[] },
  ): Promise<AdjustedRun> {
    const env = await this.#environment(name);
    const adjusted = await this.#control.use((session) => adjust(session, env, name, change));
    return { name, direction: adjusted.run.direction, settings: adjusted.overrides };
  }

  /** The direction in which a run would be resumed; changes nothing. */
  async direction(name: string): Promise<Direction> {
    const env = await this.#environment(name);
    const read = (session: Session): ReturnType<typeof foresee> =>
      withTransaction(session, env.pinned, () => foresee(session, env, name, 'resume'));
    return (await this.#control.use(read)).run.direction;
  }

  /** Refuses a name that neither the ledger nor the folder knows. */
  async #environment(name: string): Promise<RunEnvironment> {
    await this.#control.requirePrimary();
    const state = await this.#control.use((session) =>
      reading(session, () => readState(session, this.#config)),
    );
    // This host may have other files than those that run the migration, or none.
    const files = await listMigrations(this.#config.migrationsDirs).catch(() => []);
    const known = [
      ...new Set([
        ...state.executed.map((one) => one.name),
        ...state.live,
        ...files.map((file) => file.name),
      ]),
    ].toSorted();
    if (!known.includes(name)) throw unknownName(name, known, 'known');
    if (!state.exists) throw unknownName(name, [], 'started');
    return makeEnvironment(this.#config, await this.#control.use(readServer));
  }
}
