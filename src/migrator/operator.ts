import type { Control } from '../cluster/worker/control.ts';
import type { Config } from '../config/config.ts';
import type { Verb } from '../core/config/operate.ts';
import type { Overrides } from '../core/config/steering.ts';
import type { Direction, Run } from '../ledger/run/rows.ts';
import { listMigrations } from '../migration/file/folder.ts';
import { type Tell, tellNobody } from '../notify/happening.ts';
import type { Session } from '../postgres/session.ts';
import { reading, withTransaction } from '../postgres/transaction.ts';
import { makeEnvironment, readServer } from '../run/context/environment.ts';
import type { RunEnvironment } from '../run/context/environment.ts';
import { heldHint } from '../run/lifecycle/held.ts';
import { adjust, foresee, operate } from '../run/lifecycle/operate.ts';
import { reopenQuarantined } from '../run/lifecycle/retry.ts';
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
  readonly #tell: Tell;
  readonly #user: string | null;

  /** @internal `user`: who says it, where that is not the user of this process. */
  constructor(config: Config, control: Control, tell: Tell = tellNobody, user: string | null = null) {
    this.#config = config;
    this.#control = control;
    this.#tell = tell;
    this.#user = user;
  }

  /** The same for somebody else than the user of this process, as the history names them; null: for that user. */
  for(user: string | null): Operator {
    return new Operator(this.#config, this.#control, this.#tell, user);
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

  /** Puts quarantined rows of a run back, all or the one with this key; how many. Runs nothing here. */
  async retry(
    name: string,
    key: readonly string[] | null,
  ): Promise<{ readonly state: Run['state']; readonly rows: number }> {
    const env = await this.#environment(name);
    const { run, rows } = await this.#control.use((session) => reopenQuarantined(session, env, name, key));
    return { state: run.state, rows };
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
    const said = { tell: this.#tell, user: this.#user };
    return makeEnvironment(this.#config, await this.#control.use(readServer), said);
  }
}

/** What became of an operator's word, and what may be typed next, each in a line. */
export function describeOperated({ name, direction, state, changed }: OperatedRun): readonly string[] {
  const is = changed ? 'is' : 'was already';
  const back = `umzug-cluster down --name ${name}`;
  const again = direction === 'up' ? 'umzug-cluster up' : back;
  const hints = heldHint({ name, direction, state }).split('; ');
  switch (state) {
    case 'paused':
      return [
        `${name} ${is} paused until you resume it: no work is lost, no chunk starts`,
        ...hints.map((hint) => `  ${hint}`),
      ];
    case 'cancelled':
      return [
        `${name} ${is} cancelled: finished work is kept, and it is parked until you decide`,
        ...hints.map((hint) => `  ${hint}`),
      ];
    case 'reverted':
    case 'done':
      return [
        `the rollback of ${name} is abandoned: nothing had been rolled back`,
        `  see it: umzug-cluster status ${name}`,
      ];
    default:
      return [
        changed
          ? `${name} is resumed: hosts that run ${again} work on it`
          : `${name} is neither paused nor cancelled: hosts that run ${again} work on it`,
      ];
  }
}
