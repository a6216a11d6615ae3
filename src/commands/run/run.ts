import { UmzugClusterError, fail, isStop } from '../../errors.ts';
import { listMigrations } from '../../migration/file/folder.ts';
import type { MigrationOutcome, Migrator } from '../../migrator/migrator.ts';
import type { Arguments } from '../frame/command.ts';
import { type Io, printJson, printLine, printNote } from '../frame/output.ts';
import { withContext } from '../frame/context.ts';
import { withStopping } from './stopping.ts';
import type { Running } from './run-targets.ts';
import { leftBehind, listedConflicts, summary, tellStop } from './summary.ts';

/** Runs `up` or `down` with signals, deadline and progress, and prints what became of each migration. */
export async function runMigrations(flags: Arguments, io: Io, running: Running): Promise<void> {
  const { work, nothingToDo } = running;
  let isJson = false;
  let isForPeople = false;
  let folders: readonly string[] = [];
  const outcomes = await withStopping((stopping) =>
    withContext(
      flags,
      io,
      async ({ config, migrator, view }) => {
        isJson = config.output.json;
        isForPeople = config.output.logFormat === 'pretty';
        folders = config.migrationsDirs;
        if (config.target === null) refuseTargetFlags(flags);
        stopping.attach(migrator, config.tuning);
        migrator.on('progress', (progress) => view.show(progress));
        return await work(migrator, null).catch(async (error: unknown) => {
          if (!(error instanceof UmzugClusterError) || !isStop(error.code)) throw error;
          const stop = isJson ? await withStates(error, migrator) : error;
          const isFine = flags['max-time-ok'] === true && error.code === 'STOPPED' && stopping.isOutOfTime;
          if (isFine) return stop;
          throw stop;
        });
      },
      async (several) => {
        const { runInTargets } = await import('./run-targets.ts');
        await runInTargets(flags, io, { ...several, stopping }, running);
        return null;
      },
    ),
  );
  if (outcomes === null) return;
  if (outcomes instanceof UmzugClusterError) return tellStop(io, outcomes, isJson);
  if (isJson) return printJson(io, { migrations: outcomes });
  if (outcomes.length === 0) {
    const isEmpty = (await listMigrations(folders)).length === 0;
    printLine(io, isEmpty ? `no migrations found in ${folders.join(', ')}` : nothingToDo);
  }
  for (const outcome of outcomes) {
    printLine(io, summary(outcome));
    const listed = listedConflicts(outcome);
    if (listed !== null) printLine(io, listed);
    if (outcome.left !== null && outcome.left > 0) printLine(io, leftBehind(outcome.name, outcome.left));
  }
  // A pipeline reads stderr as a log.
  const next = nextStep(outcomes);
  if (isForPeople && next !== null) printNote(io, `next: ${next}`);
}

/** A stop with how all migrations stand now, for a pipeline that decides by them; alone where nobody can say. */
async function withStates(stop: UmzugClusterError, migrator: Migrator): Promise<UmzugClusterError> {
  const { code, message, detail, hint, cause } = stop;
  const status = await migrator.status().catch(() => null);
  const migrations = status?.migrations.map(({ name, kind, state, rows }) => ({ name, kind, state, rows }));
  return fail(code, { message, detail, hint, cause, report: { migrations: migrations ?? [] } });
}

/** What may be typed now; null: there is nothing to say. */
function nextStep(outcomes: readonly MigrationOutcome[]): string | null {
  const last = outcomes.at(-1);
  if (last === undefined) return null;
  const those = outcomes.length === 1 ? 'it' : 'them';
  if (last.direction === 'down') return `run ${those} again: umzug-cluster up`;
  const steps = [
    ...(outcomes.some(({ kind }) => kind === 'data')
      ? ['check for rows that were missed: umzug-cluster verify']
      : []),
    // It rolls back one migration, the last.
    ...(last.hasDown
      ? [`roll ${outcomes.length === 1 ? 'it' : 'the last one'} back: umzug-cluster down`]
      : []),
  ];
  return steps.length === 0 ? null : steps.join('; ');
}

/** The refusal of flags that speak of several targets, where there is one database. */
function refuseTargetFlags(flags: Arguments): void {
  const given = ['targets-first', 'fail-fast'].find((name) => flags[name] !== undefined);
  if (given === undefined) return;
  throw fail('USAGE', {
    message: `--${given}: the knexfile has no targets`,
    hint: 'leave it out, or set migrations.cluster.targets',
  });
}
