import { counted } from '../core/values/numbers.ts';
import type { Control } from '../cluster/worker/control.ts';
import { workOn } from '../cluster/process/own-process.ts';
import type { Primary } from '../cluster/primary/primary.ts';
import { UmzugClusterError, fail, codeOf, isStop, messageOf } from '../errors.ts';
import type { HistorySubject } from '../ledger/look/history.ts';
import type { Direction, Run } from '../ledger/run/rows.ts';
import type { Logger } from '../logger.ts';
import type { MigrationFile } from '../migration/file/folder.ts';
import type { BaseTable } from '../migration/key/key.ts';
import { loadMigration, refuseWithoutDown } from '../migration/file/loader.ts';
import { checkOffline } from '../migration/file/offline.ts';
import { sayLeft } from './left.ts';
import type { MigrationOutcome, UpOptions } from './pending/requests.ts';
import type { RunEnvironment } from '../run/context/environment.ts';
import { planStep } from '../run/analyze/plan.ts';
import { type DataMigration, stepOf } from '../run/context/step.ts';
import { refuseBuiltUpon, refuseSameTable, refuseWithoutGround } from '../run/checks/drift.ts';
import { type Turn, leftToOthers, registerUp } from '../run/lifecycle/register.ts';
import type { Session } from '../postgres/session.ts';
import { inOneTrip, reading, withTransaction } from '../postgres/transaction.ts';
import type { OtherPlaces } from './pending/other-tools.ts';
import { refuseTooEarly } from './pending/requires.ts';
import { findRetriable, retryQuarantined } from '../run/lifecycle/retry.ts';
import { registerDown } from '../run/lifecycle/revert.ts';
import { openTrace, traced } from '../telemetry/trace.ts';
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
  /** Runs that are held, and are passed. */
  readonly past?: readonly string[];
  /** Pending migrations that may run after those that run now, though they sort before them. */
  readonly allowed?: readonly string[];
  /** What to do where another host is at work. Default: join it. */
  readonly others?: UpOptions['others'];
  /** What was executed, for `down` also what was started, when the command chose what to run. */
  readonly found: readonly string[];
}

/** A migration that is done. */
interface Done extends Pick<MigrationOutcome, 'rows' | 'rowsBefore' | 'changed' | 'chunks' | 'retries'> {
  /** What it has left behind, which is no part of it. */
  readonly look: () => Promise<MigrationOutcome['left']>;
}

const nothingCounted: Done = {
  rows: 0,
  rowsBefore: 0,
  changed: null,
  chunks: 0,
  retries: 0,
  look: () => Promise.resolve(null),
};

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

  constructor(input: ExecutorInput) {
    this.#input = input;
    this.#found = new Set(input.found);
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
    const migration = await loadMigration(file);
    if (migration.kind !== 'data') return null;
    const isBack = await control.use(async (session) => {
      const plan = await planStep(session, env, migration, stepOf(migration, run.direction));
      return await retryQuarantined(session, env, run, { hashes: migration.hashes, plan });
    });
    return isBack ? run.direction : null;
  }

  /** Refuses migrations that could not begin, by their files alone, or that require what another tool has not done. */
  async checkUp(files: readonly MigrationFile[], places: OtherPlaces): Promise<void> {
    const { control, env, primary } = this.#input;
    for (const file of files) {
      primary.throwIfStopped();
      workOn(file.name, env.tuning.ceilingMs);
      const migration = await loadMigration(file);
      checkOffline(migration, env.knexConfig);
      if (migration.requires.length === 0) continue;
      await control.use((session) => reading(session, () => refuseTooEarly(session, migration, places)));
    }
  }

  /** Refuses a migration that has no `down`. */
  async checkDown(file: MigrationFile): Promise<void> {
    refuseWithoutDown(await loadMigration(file));
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
    const { env, primary } = this.#input;
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
    const { look, ...counts } = { ...done, durationMs: performance.now() - startedAt };
    const { rows, chunks, retries } = counts;
    const fields = { rows, chunks, retries, durationMs: Math.round(counts.durationMs) };
    const event = { event: 'migration.done', migration: name, direction, ...fields } as const;
    logger.info(event, `${name}: ${direction} done`);
    const { kind, down } = migration;
    const left = await look();
    this.#outcomes.push({ name, kind, direction, ...counts, hasDown: down !== null, left });
  }

  async #executeSchema(migration: SchemaMigration, direction: Direction): Promise<Done> {
    const { again, control, env, primary } = this.#input;
    this.#hasBegun = true;
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
    await control.attempt(record, lookMs, new AbortController().signal);
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
      rows: done.rows + before.rows,
      chunks: done.chunks + before.chunks,
      retries: done.retries + before.retries,
    };
  }

  async #runData(migration: DataMigration, direction: Direction): Promise<Done> {
    const { control, env, logger, primary } = this.#input;
    const registered = await control
      .use((session) => this.#register(session, migration, direction))
      .catch((error: unknown) => {
        primary.throwIfStopped();
        throw error;
      });
    if (registered === null) return await this.#doneElsewhere(migration, direction);
    const { run, rowsBefore } = registered;
    this.#hasBegun = true;
    const executing = primary.execute(migration, run).catch(async (error: unknown) => {
      await this.#recordEnd(run, error);
      throw error;
    });
    const { sums, counted: own } = await executing;
    const { rows, chunks, retries } = sums;
    const changed = own.rows === rows - rowsBefore ? own.changed : null;
    if (changed === 0 && own.rows > 0) {
      const told = `${counted(own.rows, 'row')} passed to update, 0 changed in any table`;
      logger.warn({ event: 'run.unchanged', migration: run.name, rows: own.rows }, `${run.name}: ${told}`);
    }
    const counts: Done = { ...nothingCounted, rows, rowsBefore, changed, chunks, retries };
    if (direction === 'down') return counts;
    const looking = { control, env, logger, signal: primary.drainSignal };
    return { ...counts, look: () => sayLeft(looking, migration, run, rows) };
  }

  /** Another host was quicker. It tells the same totals. */
  async #doneElsewhere({ name }: DataMigration, direction: Direction): Promise<Done> {
    if (direction === 'down') return nothingCounted;
    const { control, env } = this.#input;
    const sums = await control.use((session) =>
      withTransaction(session, env.pinned, async () => {
        const { ranges, runs } = env.ledger(session);
        const run = await runs.findDone(name);
        return run === null ? null : await ranges.totals(run.id);
      }),
    );
    if (sums === null) return nothingCounted;
    const { rows, chunks, retries } = sums;
    return { ...nothingCounted, rows, rowsBefore: rows, chunks, retries };
  }

  async #register(
    session: Session,
    migration: DataMigration,
    direction: Direction,
  ): Promise<{ readonly run: Run; readonly rowsBefore: number } | null> {
    const { again, env, lift = false, logger, others = 'join' } = this.#input;
    const { name } = migration;
    // What cannot work is refused before anything is written.
    await env.replicas.look(session);
    const plan = await planStep(session, env, migration, stepOf(migration, direction));
    for (const warning of plan.warnings) {
      logger.warn({ event: 'plan.warning', migration: name, warning }, `${name}: ${warning}`);
    }
    const turn = this.#turnOf(name, direction, plan.base);
    const run =
      direction === 'up'
        ? await registerUp(session, env, { migration, plan }, { ...turn, again, lift, others })
        : await registerDown(session, env, { migration, plan }, { ...turn, lift });
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

/** A refusal of a table or a statement does not know whose it is. */
function about(name: string, error: unknown): unknown {
  if (codeOf(error) === untranslatable) return unstorable(name, error);
  if (!(error instanceof UmzugClusterError) || !ofOneMigration.has(error.code)) return error;
  // A name may be a word: "a migration must not" does not speak of one that is called a.
  const isNamed = [`${name}:`, `${name},`].some((beginning) => error.message.startsWith(beginning));
  if (isNamed || error.message.includes(`/${name}.`)) return error;
  const { code, message, detail, hint, report } = error;
  return fail(code, { message: `${name}: ${message}`, detail, hint, report, cause: error });
}

// A character that the encoding of the database does not have.
const untranslatable = '22P05';

function unstorable(name: string, cause: unknown): Error {
  return fail('MIGRATION_FILE', {
    message: `${name}: it has a character that the encoding of the database cannot store`,
    detail: 'in its name, in the name of a file that it imports, or in its select',
    hint: 'rename the file, or write the character in a way that the database can store',
    cause,
  });
}

const ofOneMigration: ReadonlySet<string> = new Set(['SELECT_REFUSED', 'PERMISSION', 'MIGRATION_FAILED']);
