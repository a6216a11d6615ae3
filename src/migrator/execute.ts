import type { GivenArg } from '../core/config/args.ts';
import { counted } from '../core/values/numbers.ts';
import type { Control } from '../cluster/worker/control.ts';
import { workOn } from '../cluster/process/own-process.ts';
import type { Primary } from '../cluster/primary/primary.ts';
import { UmzugClusterError, isStop, messageOf } from '../errors.ts';
import type { HistorySubject } from '../ledger/look/history.ts';
import type { KeyPart } from '../ledger/run/controls.ts';
import type { Direction, Run } from '../ledger/run/rows.ts';
import type { Logger } from '../logger.ts';
import type { MigrationFile } from '../migration/file/folder.ts';
import type { BaseTable } from '../migration/key/key.ts';
import { type LoadedMigration, loadMigration, refuseWithoutDown } from '../migration/file/loader.ts';
import { checkOffline } from '../migration/file/offline.ts';
import { about } from './about.ts';
import { type Done, doneElsewhere, nothingCounted } from './done.ts';
import { sayAnalyzed } from './analyzed.ts';
import { sayLeft } from './left.ts';
import { restoredBy, sayLost, storedAndGone, sumOfRestored } from './restored.ts';
import { refuseUnknownArgs, withGivenArgs } from './pending/args.ts';
import type { MigrationOutcome, UpOptions } from './pending/requests.ts';
import type { RunEnvironment } from '../run/context/environment.ts';
import { planStep } from '../run/analyze/plan.ts';
import { type DataMigration, migrationOf, stepOf } from '../run/context/step.ts';
import { refuseBuiltUpon, refuseSameTable, refuseWithoutGround } from '../run/checks/drift.ts';
import { type Turn, leftToOthers, registerUp } from '../run/lifecycle/register.ts';
import type { Session } from '../postgres/session.ts';
import { inOneTrip, reading, withTransaction } from '../postgres/transaction.ts';
import type { OtherPlaces } from './pending/other-tools.ts';
import { refuseTooEarly } from './pending/requires.ts';
import { findRetriable, retryQuarantined } from '../run/lifecycle/retry.ts';
import { type Restoring, registerDown } from '../run/lifecycle/revert.ts';
import { type BackOptions, wayBackOf } from '../run/lifecycle/way-back.ts';
import { openTrace, traced } from '../telemetry/trace.ts';
import { refuseHidden } from '../throttle/server.ts';
import { type SchemaMigration, runSchemaStep } from '../run/schema/schema-step.ts';

export interface ExecutorInput {
  readonly files: readonly MigrationFile[];
  readonly env: RunEnvironment;
  readonly control: Control;
  readonly primary: Primary;
  readonly logger: Logger;
  /** Run a migration that is already executed once more. */
  readonly again: boolean;
  /** Resume a run that was cancelled. */
  readonly lift?: boolean;
  /** Work on it only where it is running: begin none, and resume none. */
  readonly only?: 'running' | undefined;
  /** Runs that are held, and are passed. */
  readonly past?: readonly string[];
  /** Pending migrations that may run after those that run now, though they sort before them. */
  readonly allowed?: readonly string[];
  /** Rows after which it stops, of all migrations together. */
  readonly limit?: number | undefined;
  /** The part of the keys to which these rows belong; null: they are the first ones. */
  readonly part?: KeyPart | null;
  /** What to do where another host is at work. Default: join it. */
  readonly others?: UpOptions['others'];
  /** How `down` is done where there is a choice. */
  readonly back?: BackOptions;
  /** What was executed, for `down` also what was started, when the command chose what to run. */
  readonly found: readonly string[];
  /** Values that are given for arguments of migrations. */
  readonly args: readonly GivenArg[];
}

// What is only good to know is not waited for longer.
const lookMs = 2_000;

/** Runs one migration in one direction, whatever its kind: what Umzug calls, and what it has done. */
export class Executor {
  readonly #input: ExecutorInput;
  readonly #outcomes: MigrationOutcome[] = [];
  /** Names that are executed by now, as far as this command knows. */
  readonly #found: Set<string>;
  /** Work on the migration has started: if it fails, its history says so. */
  #hasBegun = false;
  /** Rows that may still be processed. */
  #rowsLeft: number;
  /** The part of the keys is one of the first data migration, which is done: no other table has these keys. */
  #isPartDone = false;

  constructor(input: ExecutorInput) {
    this.#input = input;
    this.#found = new Set(input.found);
    this.#rowsLeft = input.limit ?? Infinity;
  }

  get outcomes(): readonly MigrationOutcome[] {
    return this.#outcomes;
  }

  up(file: MigrationFile): Promise<void> {
    return this.#execute(file, 'up');
  }

  down(file: MigrationFile): Promise<void> {
    return this.#execute(file, 'down');
  }

  /** Puts quarantined rows back into their run; its direction, or null where there are none. */
  async putBack(file: MigrationFile): Promise<Direction | null> {
    const { control, env } = this.#input;
    const retriable = await control.use((session) =>
      withTransaction(session, env.pinned, () => findRetriable(session, env, file.name)),
    );
    if (retriable === null || retriable.quarantined === 0) return null;
    const { run } = retriable;
    await refuseUnknownArgs(this.#input.args, [file], this.#input.files);
    const loaded = await loadMigration(file);
    if (loaded.kind !== 'data') return null;
    const migration = await this.#withArgs(migrationOf(loaded, run), run.direction);
    const isBack = await control.use(async (session) => {
      const plan = await planStep(session, env, migration, stepOf(migration, run.direction));
      return await retryQuarantined(session, env, run, { migration, plan });
    });
    return isBack ? run.direction : null;
  }

  /** Refuses migrations that could not begin, by their files alone, or that require what another tool has not done. */
  async checkUp(files: readonly MigrationFile[], places: OtherPlaces): Promise<void> {
    const { control, env, primary } = this.#input;
    for (const file of files) {
      primary.throwIfStopped();
      workOn(file.name, env.tuning.ceilingMs);
      const migration = await this.#withArgs(await loadMigration(file), 'up');
      checkOffline(migration, env.knexConfig);
      if (migration.requires.length === 0) continue;
      await control.use((session) => reading(session, () => refuseTooEarly(session, migration, places)));
    }
  }

  /** Refuses migrations one of which cannot be rolled back, or lacks an argument. */
  async checkDown(files: readonly MigrationFile[]): Promise<void> {
    await refuseUnknownArgs(this.#input.args, files, this.#input.files);
    for (const file of files) {
      const migration = await loadMigration(file);
      if (migration.kind === 'schema') refuseWithoutDown(migration);
      else await this.#withArgs(await this.#wayOf(migration, 'down'), 'down');
    }
  }

  async #withArgs<File extends LoadedMigration>(migration: File, direction: Direction): Promise<File> {
    const { args: given, control, env } = this.#input;
    return await control.use((session) =>
      withGivenArgs(session, env.ledgerSchema, migration, { direction, given }),
    );
  }

  /** A migration as it is run in a direction. */
  async #wayOf(migration: DataMigration, direction: Direction): Promise<DataMigration> {
    const { back, control, env } = this.#input;
    if (direction === 'up') return migration;
    return await control.use((session) =>
      withTransaction(session, env.pinned, () => wayBackOf(session, env, migration, back)),
    );
  }

  async #execute(file: MigrationFile, direction: Direction): Promise<void> {
    this.#hasBegun = false;
    try {
      await this.#carryOut(file, direction);
    } catch (error) {
      this.#tellEnd(file.name, direction, error);
      throw error;
    }
  }

  /** Tells what the history does not: that the time is over, or that this host cannot work on a migration. */
  #tellEnd(migration: string, direction: Direction, error: unknown): void {
    const { env, only, primary } = this.#input;
    // The run continues without a host that only helps, and it tries again.
    if (only !== undefined) return;
    const about = { migration, direction, runId: null };
    const code = error instanceof UmzugClusterError ? error.code : 'INTERNAL';
    if (isStop(code)) {
      if (primary.isOutOfTime) env.tell({ ...about, event: 'outOfTime', detail: {} });
      return;
    }
    if (code === 'MIGRATION_FAILED' && this.#hasBegun) return;
    env.tell({ ...about, event: 'failed', detail: { error: messageOf(error), code } });
  }

  async #carryOut(file: MigrationFile, direction: Direction): Promise<void> {
    const { env, logger, primary } = this.#input;
    const { name } = file;
    if (this.#rowsLeft <= 0 || this.#isPartDone) this.#stopAtLimit();
    primary.throwIfStopped();
    const startedAt = performance.now();
    workOn(name, env.tuning.ceilingMs);
    const migration = await loadMigration(file);
    logger.info({ event: 'migration.started', migration: name, direction }, `${name}: ${direction}`);
    const done = await (
      migration.kind === 'schema'
        ? this.#executeSchema(migration, direction)
        : this.#executeData(migration, direction)
    ).catch((error: unknown) => {
      throw about(name, error);
    });
    if (direction === 'up') this.#found.add(name);
    else this.#found.delete(name);
    const { look, hasDown = false, ...counts } = { ...done, durationMs: performance.now() - startedAt };
    const { rows, chunks, retries } = counts;
    const fields = { rows, chunks, retries, durationMs: Math.round(counts.durationMs) };
    const event = { event: 'migration.done', migration: name, direction, ...fields } as const;
    logger.info(event, `${name}: ${direction} done`);
    const { kind } = migration;
    const left = await look();
    this.#outcomes.push({
      name,
      kind,
      direction,
      ...counts,
      hasDown: hasDown || migration.down !== null,
      left,
    });
  }

  #stopAtLimit(): void {
    const { limit: asked = 0, primary } = this.#input;
    primary.stopAtLimit({ asked, rows: asked - Math.max(this.#rowsLeft, 0) });
  }

  async #executeSchema(migration: SchemaMigration, direction: Direction): Promise<Done> {
    const { again, control, env, primary } = this.#input;
    this.#hasBegun = true;
    const gone = await storedAndGone(this.#input);
    try {
      const about = { migration: migration.name, direction };
      await traced(await openTrace(), 'migration.schema', about, () =>
        runSchemaStep(env, migration, direction, {
          again,
          abort: primary.abortSignal,
          ask: (work) => control.attempt(work, lookMs, primary.abortSignal),
          blocked: this.#sayOnce(migration.name),
          ...this.#turnOf(migration.name, direction),
        }),
      );
    } catch (error) {
      const { name, hashes } = migration;
      await this.#recordEnd({ name, direction, ...hashes }, error);
      primary.throwIfStopped();
      throw error;
    }
    await sayLost(this.#input, migration.name, gone);
    return nothingCounted;
  }

  /** Best effort: the history names what ended this attempt. A run that has failed says so itself. */
  async #recordEnd(subject: HistorySubject, error: unknown): Promise<void> {
    const { control, env } = this.#input;
    const code = error instanceof UmzugClusterError ? error.code : 'INTERNAL';
    const hasFailed = code === 'MIGRATION_FAILED';
    if (hasFailed && subject.id !== undefined) return;
    const detail = { code, error: messageOf(error) };
    const record = (on: Session): Promise<void> =>
      inOneTrip(on, env.pinned, () =>
        env.ledger(on).history.record(hasFailed ? 'failed' : 'stopped', subject, detail),
      );
    await control.attempt(record, lookMs);
  }

  async #executeData(migration: DataMigration, direction: Direction): Promise<Done> {
    const { env, primary } = this.#input;
    // Of the first lane: the server makes it while the run is planned (bench/README.md).
    env.early.begin(migration.name, primary.abortSignal);
    try {
      const done = await this.#runData(migration, direction);
      return direction === 'down' ? await this.#rollBackEarlierRuns(migration, done) : done;
    } finally {
      await env.early.end();
    }
  }

  /** One that was run once more is executed still: `down` comes to the run before. */
  async #rollBackEarlierRuns(migration: DataMigration, done: Done): Promise<Done> {
    const { control, env } = this.#input;
    const isLeft = (session: Session): Promise<boolean> =>
      inOneTrip(session, env.pinned, () => env.ledger(session).migrations.has(migration.name));
    if (done === nothingCounted || !(await control.use(isLeft))) return done;
    const before = await this.#rollBackEarlierRuns(migration, await this.#runData(migration, 'down'));
    return {
      ...done,
      restored: sumOfRestored(done.restored, before.restored),
      rows: done.rows + before.rows,
      chunks: done.chunks + before.chunks,
      retries: done.retries + before.retries,
    };
  }

  async #runData(loaded: DataMigration, direction: Direction): Promise<Done> {
    const { control, env, logger, primary } = this.#input;
    const way = await this.#wayOf(loaded, direction);
    const restore = way === loaded ? null : { overwrite: this.#input.back?.overwrite ?? false };
    const migration = await this.#withArgs(way, direction);
    const registered = await control
      .use((session) => this.#register(session, { migration, restore }, direction))
      .catch((error: unknown) => {
        primary.throwIfStopped();
        throw error;
      });
    if (registered === null) return await doneElsewhere(this.#input, migration.name, direction);
    const { run, rowsBefore } = registered;
    this.#hasBegun = true;
    const stopAt = rowsBefore + this.#rowsLeft;
    const limit = Number.isFinite(stopAt) ? { stopAt, asked: this.#input.limit ?? 0 } : null;
    const executing = primary.execute(migration, run, limit).catch(async (error: unknown) => {
      await this.#recordEnd(run, error);
      throw error;
    });
    const { sums, counted: own } = await executing;
    const { rows, chunks, retries } = sums;
    this.#rowsLeft -= rows - rowsBefore;
    this.#isPartDone = this.#input.part != null;
    const isOwn = own.rows === rows - rowsBefore;
    const changed = isOwn ? own.changed : null;
    const hotShare = isOwn && own.updated > 0 ? own.hot / own.updated : null;
    if (changed === 0 && own.rows > 0) {
      const told = `${counted(own.rows, 'row')} passed to update, 0 changed in any table`;
      logger.warn({ event: 'run.unchanged', migration: run.name, rows: own.rows }, `${run.name}: ${told}`);
    }
    const counts: Done = { ...nothingCounted, rows, rowsBefore, changed, hotShare, chunks, retries };
    if (direction === 'down') return { ...counts, restored: await restoredBy(this.#input, run, rows) };
    const looking = { control, env, logger, signal: primary.drainSignal };
    const tableRows = run.plan.survey?.rows ?? null;
    // Other hosts set what this one does, if it had nothing left to do.
    const columns = own.rows > 0 ? own.columns : null;
    const look = async (): Promise<MigrationOutcome['left']> => {
      await sayAnalyzed(looking, migration, run, { rows, tableRows, columns });
      return await sayLeft(looking, migration, run, rows);
    };
    return { ...counts, hasDown: run.plan.undo !== undefined, look };
  }

  async #register(
    session: Session,
    { migration, restore }: Restoring & { readonly migration: DataMigration },
    direction: Direction,
  ): Promise<{ readonly run: Run; readonly rowsBefore: number } | null> {
    const { again, env, lift = false, logger, only, others = 'join' } = this.#input;
    const { name } = migration;
    // What cannot work is refused before anything is written.
    await refuseHidden(session, env.pinned, env.limits);
    const plan = await planStep(session, env, migration, stepOf(migration, direction));
    for (const warning of plan.warnings) {
      logger.warn({ event: 'plan.warning', migration: name, warning }, `${name}: ${warning}`);
    }
    const turn = this.#turnOf(name, direction, plan.base);
    const { limit, part } = this.#input;
    const limited = limit === undefined ? false : (part ?? true);
    const run =
      direction === 'up'
        ? await registerUp(session, env, { migration, plan }, { ...turn, again, lift, only, others, limited })
        : await registerDown(session, env, { migration, plan }, { ...turn, lift, only, restore });
    if (run === null) return null;
    const { rows } = await inOneTrip(session, env.pinned, () => env.ledger(session).ranges.totals(run.id));
    return { run, rowsBefore: rows };
  }

  /** `base`: the table of a data migration. */
  #turnOf(name: string, direction: Direction, base: BaseTable | null = null): Turn {
    const { allowed = [], env, logger, others = 'join', past = [], primary } = this.#input;
    const waiting = (reason: string | null): void => {
      if (reason === null) return;
      if (others === 'leave') throw leftToOthers(name, reason);
      logger.info({ event: 'run.waiting', migration: name, reason }, `${name}: waiting for ${reason}`);
    };
    return {
      turn: { waiting, signal: primary.drainSignal },
      refuse: async (session) => {
        const ledger = env.ledger(session);
        if (direction === 'down') return await refuseBuiltUpon(ledger, name, this.#found);
        await refuseWithoutGround(ledger, name, this.#found);
        if (base !== null && past.length > 0) await refuseSameTable(ledger, { name, base }, past);
        await ledger.migrations.allow(allowed);
      },
    };
  }

  #sayOnce(migration: string): (reason: string) => void {
    const said = new Set<string>();
    return (reason) => {
      // It grows older.
      const who = reason.replace(/, \d+ s old$/, '');
      if (said.has(who)) return;
      said.add(who);
      const message = `${migration}: waiting for ${reason}`;
      this.#input.logger.info({ event: 'run.waiting', migration, reason }, message);
    };
  }
}
