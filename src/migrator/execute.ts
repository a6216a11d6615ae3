import { counted } from '../core/values/numbers.ts';
import type { Control } from '../cluster/worker/control.ts';
import { workOn } from '../cluster/process/own-process.ts';
import type { Primary } from '../cluster/primary/primary.ts';
import { UmzugClusterError, fail } from '../errors.ts';
import type { Direction, Run } from '../ledger/run/rows.ts';
import type { Logger } from '../logger.ts';
import type { MigrationFile } from '../migration/file/folder.ts';
import { type LoadedMigration, loadMigration } from '../migration/file/loader.ts';
import { checkOffline } from '../migration/file/offline.ts';
import { sayLeft } from './left.ts';
import type { MigrationOutcome, UpOptions } from './pending/requests.ts';
import type { RunEnvironment } from '../run/context/environment.ts';
import { codeOf } from '../run/lane/failure.ts';
import { planStep } from '../run/analyze/plan.ts';
import { type DataMigration, stepOf } from '../run/context/step.ts';
import { refuseBuiltUpon, refuseWithoutGround } from '../run/checks/order.ts';
import { type Turn, leftToOthers, registerUp } from '../run/lifecycle/register.ts';
import type { Session } from '../postgres/session.ts';
import { inOneTrip, withTransaction } from '../postgres/transaction.ts';
import { findRetriable, retryQuarantined } from '../run/lifecycle/retry.ts';
import { registerDown } from '../run/lifecycle/revert.ts';
import { type SchemaMigration, runSchemaStep } from '../run/schema/schema-step.ts';

/** What Umzug calls for each migration. */
export interface Executor {
  up(file: MigrationFile): Promise<void>;
  down(file: MigrationFile): Promise<void>;
  /** Puts quarantined rows back into their turn; the direction of their run, null where there are none. */
  putBack(file: MigrationFile): Promise<Direction | null>;
  /** Refuses a migration that could not begin, by its file alone. */
  checkUp(file: MigrationFile): Promise<void>;
  /** Refuses a migration that has no way back. */
  checkDown(file: MigrationFile): Promise<void>;
  readonly outcomes: readonly MigrationOutcome[];
}

export interface ExecutorInput {
  readonly files: readonly MigrationFile[];
  readonly env: RunEnvironment;
  readonly control: Control;
  readonly primary: Primary;
  readonly logger: Logger;
  /** Run a migration that is already executed once more. */
  readonly again: boolean;
  /** Take up a run that was cancelled. */
  readonly lift?: boolean;
  /** What to do where another host is at work. Default: join it. */
  readonly others?: UpOptions['others'];
  /** What was executed, for `down` also what was begun, when the command chose what to run. */
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

/** Makes the functions that run one migration, whatever its kind. */
export function makeExecutor(input: ExecutorInput): Executor {
  const outcomes: MigrationOutcome[] = [];
  const { env, control, primary, logger, again, lift = false, others = 'join' } = input;
  const found = new Set(input.found);

  const execute = async (file: MigrationFile, direction: Direction): Promise<void> => {
    primary.throwIfStopped(null);
    const startedAt = performance.now();
    workOn(file.name, env.tuning.ceilingMs);
    const migration = await loadMigration(file);
    logger.info(
      { event: 'migration.started', migration: file.name, direction },
      `${file.name}: ${direction}`,
    );
    const done = await (
      migration.kind === 'schema' ? executeSchema(migration, direction) : executeData(migration, direction)
    ).catch((error: unknown) => {
      throw about(file.name, error);
    });
    if (direction === 'up') found.add(file.name);
    else found.delete(file.name);
    const durationMs = performance.now() - startedAt;
    const { rows, rowsBefore, changed, chunks, retries, look } = done;
    const fields = {
      migration: file.name,
      direction,
      rows,
      chunks,
      retries,
      durationMs: Math.round(durationMs),
    };
    logger.info({ event: 'migration.done', ...fields }, `${file.name}: ${direction} done`);
    const left = await look();
    const { name } = file;
    const { kind } = migration;
    const hasDown = migration.down !== null;
    const counts = { rows, rowsBefore, changed, chunks, retries, durationMs };
    outcomes.push({ name, kind, direction, ...counts, hasDown, left });
  };

  const turnOf = (name: string, direction: Direction): Turn => ({
    turn: {
      waiting: (reason) => {
        if (reason === null) return;
        if (others === 'leave') throw leftToOthers(name, reason);
        logger.info({ event: 'run.waiting', migration: name, reason }, `${name}: waiting for ${reason}`);
      },
      signal: primary.drainSignal,
    },
    refuse: (session) =>
      direction === 'up'
        ? refuseWithoutGround(env.ledger(session), name, found)
        : refuseBuiltUpon(env.ledger(session), name, found),
  });

  const sayOnce = (migration: string): ((reason: string) => void) => {
    const said = new Set<string>();
    return (reason) => {
      // It grows older.
      const who = reason.replace(/, \d+ s old$/, '');
      if (said.has(who)) return;
      said.add(who);
      logger.info({ event: 'run.waiting', migration, reason }, `${migration}: waiting for ${reason}`);
    };
  };

  const executeSchema = async (migration: SchemaMigration, direction: Direction): Promise<Done> => {
    try {
      await runSchemaStep(env, migration, direction, {
        again,
        abort: primary.abortSignal,
        ask: (work) => control.attempt(work, lookMs, primary.abortSignal),
        blocked: sayOnce(migration.name),
        ...turnOf(migration.name, direction),
      });
    } catch (error) {
      primary.throwIfStopped(null);
      throw error;
    }
    return nothingCounted;
  };

  const executeData = async (migration: DataMigration, direction: Direction): Promise<Done> => {
    // Of the first lane: the server makes it while the run is planned (bench/README.md).
    env.early.begin(primary.abortSignal);
    try {
      const done = await runData(migration, direction);
      return direction === 'down' ? await takeAllBack(migration, done) : done;
    } finally {
      await env.early.end();
    }
  };

  /** One that was run once more is executed still: `down` comes to the run before. */
  const takeAllBack = async (migration: DataMigration, done: Done): Promise<Done> => {
    const isLeft = (session: Session): Promise<boolean> =>
      inOneTrip(session, env.pinned, () => env.ledger(session).migrations.has(migration.name));
    if (done === nothingCounted || !(await control.use(isLeft))) return done;
    const { rows, chunks, retries } = await takeAllBack(migration, await runData(migration, 'down'));
    return {
      ...done,
      rows: done.rows + rows,
      chunks: done.chunks + chunks,
      retries: done.retries + retries,
    };
  };

  const runData = async (migration: DataMigration, direction: Direction): Promise<Done> => {
    const begun = await control
      .use((session) => register(session, migration, direction))
      .catch((error: unknown) => {
        primary.throwIfStopped(null);
        throw error;
      });
    if (begun === null) return nothingCounted;
    const { run, rowsBefore } = begun;
    const { sums, counted: own } = await primary.execute(migration, run);
    const { rows, chunks, retries } = sums;
    const changed = own.rows === rows - rowsBefore ? own.changed : null;
    if (changed === 0 && own.rows > 0) {
      const told = `${counted(own.rows, 'row')}passed to update, 0 changed in any table`;
      logger.warn({ event: 'run.unchanged', migration: run.name, rows: own.rows }, `${run.name}: ${told}`);
    }
    const counts: Done = { ...nothingCounted, rows, rowsBefore, changed, chunks, retries };
    if (direction === 'down') return counts;
    const looking = { control, env, logger, signal: primary.drainSignal };
    return { ...counts, look: () => sayLeft(looking, migration, run, rows) };
  };

  const register = async (
    session: Session,
    migration: DataMigration,
    direction: Direction,
  ): Promise<{ readonly run: Run; readonly rowsBefore: number } | null> => {
    // What cannot work is refused before anything is written.
    await env.replicas.look(session);
    const plan = await planStep(session, env, migration, stepOf(migration, direction));
    for (const warning of plan.warnings) {
      logger.warn(
        { event: 'plan.warning', migration: migration.name, warning },
        `${migration.name}: ${warning}`,
      );
    }
    const turn = turnOf(migration.name, direction);
    const run =
      direction === 'up'
        ? await registerUp(session, env, migration, plan, { ...turn, again, lift, others })
        : await registerDown(session, env, migration, plan, turn);
    if (run === null) return null;
    const { rows } = await inOneTrip(session, env.pinned, () => env.ledger(session).ranges.totals(run.id));
    return { run, rowsBefore: rows };
  };

  return {
    outcomes,
    up: (file) => execute(file, 'up'),
    down: (file) => execute(file, 'down'),
    putBack: async (file) => {
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
    },
    checkUp: async (file) => {
      primary.throwIfStopped(null);
      workOn(file.name, env.tuning.ceilingMs);
      checkOffline(await loadMigration(file), env.knexConfig);
    },
    checkDown: async (file) => refuseWithoutDown(await loadMigration(file)),
  };
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

function refuseWithoutDown(migration: LoadedMigration): void {
  if (migration.down !== null) return;
  throw fail('NO_DOWN', {
    message: `${migration.name} has no down`,
    detail: 'nothing was changed',
    hint: `export down in ${migration.path}`,
  });
}
