import { EventEmitter } from 'node:events';
import { isOwnProcess } from '../cluster/process/own-process.ts';
import { type Control, openControl } from '../cluster/worker/control.ts';
import type { Primary, Seen } from '../cluster/primary/primary.ts';
import type { Config } from '../config/config.ts';
import type { Progress } from '../core/progress/progress.ts';
import { type UmzugClusterError, stopCodes } from '../errors.ts';
import type { Direction } from '../ledger/run/rows.ts';
import type { Logger } from '../logger.ts';
import {
  assertExecuted,
  checkOrder,
  chosen,
  fileNamed,
  jumpedMessage,
  jumpedOver,
  refuseBaselined,
  warnOfDrift,
} from './pending/checks.ts';
import type { Executor, ExecutorInput } from './execute.ts';
import { type LedgerState, readState } from './pending/state.ts';
import { refuseRecreated } from '../run/checks/drift.ts';
import type { Notices } from './notices.ts';
import { Operator } from './operator.ts';
import type { PlanAnswer } from './plan/plan.ts';
import {
  type DownOptions,
  type MigrationOutcome,
  type MigrationRef,
  type MigratorEvents,
  type RevertTarget,
  type UpOptions,
  keyPartOf,
} from './pending/requests.ts';
import type { HistoryReport } from './status/history.ts';
import { type StatusReport, statusReport } from './status/status.ts';
import type { VerifyReport } from './status/verify.ts';
import { openUmzug, revertTargets, unwrap } from './pending/umzug.ts';
import { type Call, Turns } from './turns.ts';
import { refuseOtherFolders } from '../migration/file/other-tools.ts';
import { type MigrationFile, listMigrations } from '../migration/file/folder.ts';
import { type RunEnvironment, makeEnvironment, readServer } from '../run/context/environment.ts';
import type { Session } from '../postgres/session.ts';
import { type ServerFacts, reading } from '../postgres/transaction.ts';
import { flushTraces } from '../telemetry/trace.ts';

export type { PlanReport } from './plan/plan-report.ts';
export type { DownOptions, MigrationOutcome, MigrationRef, RevertTarget, UpOptions };
export type { AdjustedRun, OperatedRun, Operator } from './operator.ts';
export type { HistoryReport } from './status/history.ts';
export type { StatusReport } from './status/status.ts';
export type { VerifyReport } from './status/verify.ts';

export type StopReason = keyof typeof stopCodes;

/** Runs, reverts and reports migrations on one database. Umzug decides order and what is pending. */
export class Migrator extends EventEmitter<MigratorEvents> {
  readonly #config: Config;
  readonly #logger: Logger;
  readonly #control: Control;
  readonly #notices: Notices | null;
  readonly #turns: Turns;

  /** @internal */
  constructor(config: Config, logger: Logger, control: Control, notices: Notices | null) {
    super();
    this.#config = config;
    this.#logger = logger;
    this.#control = control;
    this.#notices = notices;
    this.#turns = new Turns(() => control.restore());
  }

  /**
   * Runs pending migrations in order; resumes what was interrupted; joins what other hosts run. Calls of `up`, `down`,
   * `retry` and `resume` take turns: one that is made while another is at work waits for it.
   */
  up(options: UpOptions = {}): Promise<readonly MigrationOutcome[]> {
    return this.#turns.take((call) => this.#up(call, options));
  }

  async #up(call: Call, options: UpOptions): Promise<readonly MigrationOutcome[]> {
    const files = await this.#files();
    refuseOtherFolders(this.#config.migrationsDirs);
    await this.#control.requirePrimary();
    const state = await this.#state();
    await this.#forgetExpired(state);
    await warnOfDrift(files, state, options.strict ?? false, this.#logger);
    // Named ones are asked for: each is looked at when its turn has come.
    if (options.names === undefined) refuseRecreated(state.recreated);
    const pending = checkOrder(files, state, options);
    if (this.#config.args.length > 0) {
      const { refuseUnknownArgs } = await import('./pending/args.ts');
      await refuseUnknownArgs(this.#config.args, pending, files);
    }
    if (pending.length === 0 && options.names === undefined) return [];
    if (options.runRecorded !== true) {
      const names = new Set(chosen(pending, options));
      const problem = await this.#recordedElsewhere(
        pending.filter(({ name }) => names.has(name)),
        state,
      );
      if (problem !== null) throw problem;
    }
    if (options.wait === true) {
      const { waitForOthers } = await import('./wait.ts');
      return await waitForOthers(this, { pending, options }, this.#logger, call.waiting.signal);
    }
    const executed = state.executed.map(({ name }) => name);
    const again = options.rerun === 'ALLOW';
    const jumped = jumpedOver(pending, state, options);
    const isAllowed = options.allowOutOfOrder === true;
    if (jumped.length > 0) {
      this.#logger.warn({ event: 'migration.jumped', jumped }, jumpedMessage(jumped, isAllowed));
    }
    const { limit, past = [] } = options;
    const others = limit === undefined ? options.others : 'leave';
    const part = keyPartOf(options);
    const allowed = isAllowed ? jumped : [];
    const input = { files, again, limit, part, others, past, allowed, found: executed };
    return await this.#run(call, input, async (executor) => {
      // Refused before anything changes: a syntax error in the third file would leave the first two executed.
      const toRun = new Set(chosen(again && options.names !== undefined ? files : pending, options));
      await executor.checkUp(
        files.filter(({ name }) => toRun.has(name)),
        this.#config,
      );
      const unheld = files.filter(({ name }) => !past.includes(name));
      const umzug = openUmzug(unheld, executor, executed, this);
      const { to, step, names, rerun } = options;
      if (names !== undefined)
        await umzug.up({ migrations: [...new Set(names)], rerun: (rerun ?? 'THROW') as never });
      else if (to !== undefined) await umzug.up({ to });
      else await umzug.up(step === undefined ? {} : { step });
    });
  }

  /** Reverts the last migration, or as told; a half-done run counts as the last one. */
  down(options: DownOptions = {}): Promise<readonly MigrationOutcome[]> {
    return this.#turns.take((call) => this.#down(call, options));
  }

  async #down(call: Call, options: DownOptions): Promise<readonly MigrationOutcome[]> {
    const { files, begun, targets } = await this.#toRevert(options);
    const input = { files, again: false, found: begun, back: options };
    const outcomes = await this.#run(call, input, async (executor) => {
      // Refused before anything changes: a migration without `down` in the middle would stop half way.
      await executor.checkDown(targets);
      if (targets.length > 0)
        await options.confirm?.(await this.#described(targets, options), call.waiting.signal);
      const umzug = openUmzug(files, executor, begun, this);
      await umzug.down({ migrations: targets.map(({ name }) => name) });
    });
    if (outcomes.some(({ restored }) => restored !== null)) await this.#forgetExpired({ hasExpired: true });
    return outcomes;
  }

  /** What `down` would do, by samples that are run and rolled back; `problem`: what it would refuse first. */
  async planDown(options: DownOptions = {}): Promise<PlanAnswer> {
    const { planDownReport } = await import('./plan/plan.ts');
    const { files, targets } = await this.#toRevert(options);
    const at = { config: this.#config, control: this.#control };
    return await planDownReport({ files, targets }, at, options);
  }

  /** What `down` would revert, as it shows before it asks. Reads only. */
  async reverting(options: DownOptions = {}): Promise<readonly RevertTarget[]> {
    return await this.#described((await this.#toRevert(options)).targets, options);
  }

  /** What `down` is about: its targets, among all files, and what was executed or started. */
  async #toRevert(options: DownOptions) {
    const files = await this.#files();
    await this.#control.requirePrimary();
    const state = await this.#state();
    await this.#forgetExpired(state);
    const begun = [...state.executed.map(({ name }) => name), ...state.live];
    const targets = revertTargets(files, begun, options);
    refuseBaselined(targets, state);
    return { files, begun, targets };
  }

  async #described(
    targets: readonly MigrationFile[],
    options: DownOptions,
  ): Promise<readonly RevertTarget[]> {
    const { describeTargets } = await import('./revert-targets.ts');
    return await this.#control.use((session) =>
      reading(session, () => describeTargets(session, this.#config.ledgerSchema, targets, options)),
    );
  }

  /** Puts the quarantined rows of a migration back and runs them; `[]` where none are quarantined. */
  retry(name: string): Promise<readonly MigrationOutcome[]> {
    return this.#turns.take(async (call) => {
      const file = fileNamed(await this.#files(), name);
      await this.#control.requirePrimary();
      if (!(await this.#state()).exists) return [];
      return await this.#takeUp(call, file, (executor) => executor.putBack(file));
    });
  }

  /** Resumes a run that was paused or cancelled, or joins it where it is running; with `only`, nothing but the latter. */
  resume(name: string, only?: 'running'): Promise<readonly MigrationOutcome[]> {
    return this.#turns.take(async (call) => {
      const file = fileNamed(await this.#files(), name);
      return await this.#takeUp(call, file, () => this.operator.direction(name), only && { only });
    });
  }

  /** What an operator may say to a run of any host. */
  get operator(): Operator {
    return new Operator(this.#config, this.#control, this.#notices?.tell);
  }

  /** Migrations that `up` would run, in order. Reads only. */
  async pending(): Promise<readonly MigrationRef[]> {
    const executed = new Set(await this.#executedNames());
    return (await this.#files()).filter(({ name }) => !executed.has(name)).map(refOf);
  }

  /** @internal The refusal of `up` where another tool has recorded pending files as executed, or null. */
  async recordedElsewhere(): Promise<UmzugClusterError | null> {
    const state = await this.#state();
    const executed = new Set(state.executed.map(({ name }) => name));
    const pending = (await this.#files()).filter(({ name }) => !executed.has(name));
    return await this.#recordedElsewhere(pending, state);
  }

  async #recordedElsewhere(
    pending: readonly MigrationFile[],
    { live }: LedgerState,
  ): Promise<UmzugClusterError | null> {
    const unbegun = pending.filter(({ name }) => !live.includes(name));
    if (unbegun.length === 0) return null;
    const { recordedElsewhere, recordedError } = await import('./pending/other-tools.ts');
    const read = (session: Session): Promise<UmzugClusterError | null> =>
      reading(session, async () => recordedError(await recordedElsewhere(session, unbegun, this.#config)));
    return await this.#control.use(read);
  }

  /** Executed migrations whose file is there, in order. Reads only. */
  async executed(): Promise<readonly MigrationRef[]> {
    const executed = new Set(await this.#executedNames());
    return (await this.#files()).filter(({ name }) => executed.has(name)).map(refOf);
  }

  /** What is executed, running, failed, missing. Reads only and waits for no lock. */
  async status(name?: string): Promise<StatusReport> {
    return await statusReport(await this.#files(), this.#config, this.#control, name);
  }

  /** What became of migrations, or of one, and by whom: the latest event first. Reads only. */
  async history(name: string | undefined, limit: number): Promise<HistoryReport> {
    const { historyReport } = await import('./status/history.ts');
    return await historyReport(await this.#files(), this.#config, this.#control, { name, limit });
  }

  /** Whether executed migrations left rows behind, and whether the ledger is sound. Reads only. */
  async verify(name?: string): Promise<VerifyReport> {
    const { verifyReport } = await import('./status/verify.ts');
    return await verifyReport(await this.#files(), this.#config, name);
  }

  /** What `up` would do, by schema migrations and samples that are tried and rolled back; `problem`: what it would refuse first. */
  async plan(name?: string, { schema }: { readonly schema?: boolean | undefined } = {}): Promise<PlanAnswer> {
    const { planReport } = await import('./plan/plan.ts');
    const files = await this.#files();
    refuseOtherFolders(this.#config.migrationsDirs);
    await this.#control.requirePrimary();
    const place = { config: this.#config, control: this.#control };
    return await planReport(files, { name, schema }, await this.#state(), place);
  }

  /** Throws NOT_EXECUTED where this migration is not done: for the start of an application that needs it. */
  async assertExecuted(name: string): Promise<void> {
    await this.#assertExecuted([name]);
  }

  /** Throws NOT_EXECUTED where any migration of the folder is not done. */
  async assertDone(): Promise<void> {
    await this.#assertExecuted();
  }

  async #assertExecuted(names?: readonly string[]): Promise<void> {
    const { executed, recreated } = await this.#state();
    assertExecuted(
      await this.#files(),
      executed.map(({ name }) => name),
      names,
    );
    refuseRecreated(recreated.filter(({ name }) => names?.includes(name) ?? true));
  }

  /**
   * Asks the calls that run, or wait for their turn, to stop; they then reject with INTERRUPTED, TERMINATED, HANGUP or
   * STOPPED. Later calls are not concerned.
   */
  stop(reason: StopReason, how: 'drain' | 'abort'): void {
    this.#notices?.hurry(how);
    this.#turns.stop(stopCodes[reason], how);
  }

  /** Ends the connection, after the calls that run. */
  async close(): Promise<void> {
    await (await this.release())?.end();
  }

  /** @internal As `close`, but hands the connection over, where it can still be used. */
  async release(): Promise<Session | null> {
    await this.#turns.ended();
    await this.#notices?.end();
    await flushTraces();
    return await this.#control.release();
  }

  /** Runs one migration in the direction that its run has; null: there is nothing to run. */
  async #takeUp(
    call: Call,
    { name }: MigrationFile,
    find: (executor: Executor) => Promise<Direction | null>,
    how: Pick<ExecutorInput, 'lift' | 'only'> = { lift: true },
  ): Promise<readonly MigrationOutcome[]> {
    const files = await this.#files();
    await this.#control.requirePrimary();
    const executed = await this.#executedNames();
    return await this.#run(call, { files, again: false, ...how, found: executed }, async (executor) => {
      const direction = await find(executor);
      if (direction === null) return;
      const umzug = openUmzug(files, executor, direction === 'down' ? [name] : executed, this);
      await (direction === 'down' ? umzug.down({ migrations: [name] }) : umzug.up({ migrations: [name] }));
    });
  }

  async #run(
    call: Call,
    input: Omit<ExecutorInput, 'env' | 'control' | 'primary' | 'logger' | 'args'>,
    work: (executor: Executor) => Promise<unknown>,
  ): Promise<readonly MigrationOutcome[]> {
    let executor: Executor | null = null;
    const [config, logger, control] = [this.#config, this.#logger, this.#control] as const;
    // With knex behind them: what only looks at the ledger does without.
    const { Primary } = await import('../cluster/primary/primary.ts');
    const execute = await import('./execute.ts');
    const open = async (): Promise<{ primary: Primary; env: RunEnvironment }> => {
      const server: ServerFacts = await control.use(readServer);
      const told = { isOwnProcess: isOwnProcess(), tell: this.#notices?.tell };
      const env = makeEnvironment(config, server, told);
      const onProgress = (progress: Progress, seen: Seen): void => {
        this.#notices?.progress(progress, seen);
        this.emit('progress', progress);
      };
      call.primary = new Primary({ config, env, server, control, logger, onProgress });
      if (call.stopped !== null) call.primary.stop(...call.stopped);
      return { primary: call.primary, env };
    };
    try {
      const { primary, env } = await open();
      executor = new execute.Executor({ ...input, args: config.args, env, control, primary, logger });
      await work(executor);
      return executor.outcomes;
    } catch (error) {
      throw unwrap(error);
    } finally {
      await call.primary?.close();
    }
  }

  async #files(): Promise<MigrationFile[]> {
    return await listMigrations(this.#config.migrationsDirs);
  }

  async #state(): Promise<LedgerState> {
    return await this.#control.use((session) => reading(session, () => readState(session, this.#config)));
  }

  async #forgetExpired({ hasExpired }: Pick<LedgerState, 'hasExpired'>): Promise<void> {
    if (!hasExpired) return;
    const { forgetExpired } = await import('./ledger-admin.ts');
    await forgetExpired(this.#config, this.#control, this.#logger);
  }

  async #executedNames(): Promise<string[]> {
    return (await this.#state()).executed.map(({ name }) => name);
  }
}

/** Opens a migrator. Connects with its first command; `control`: by a connection that is there, or that others use, too. */
export async function openMigrator(
  config: Config,
  logger: Logger,
  control = openControl(config),
): Promise<Migrator> {
  const { notify } = config;
  const notices =
    notify && new (await import('./notices.ts')).Notices({ ...config, notify }, control, logger);
  return new Migrator(config, logger, control, notices);
}

const refOf = ({ name, path }: MigrationFile): MigrationRef => ({ name, path });
