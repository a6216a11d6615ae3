import { formatDuration } from '../../core/config/duration.ts';
import { counted, grouped as number, rowsLeft } from '../../core/values/numbers.ts';
import { UmzugClusterError, fail, isStop } from '../../errors.ts';
import { listMigrations } from '../../migration/file/folder.ts';
import type { MigrationOutcome, Migrator } from '../../migrator/migrator.ts';
import type { Arguments } from '../frame/command.ts';
import { type Io, printJson, printLine, printNote } from '../frame/output.ts';
import { withContext } from '../frame/context.ts';
import { withStopping } from './stopping.ts';

/** Runs `up` or `down` with signals, deadline and progress, and prints what became of each migration. */
export async function runMigrations(
  flags: Arguments,
  io: Io,
  work: (migrator: Migrator) => Promise<readonly MigrationOutcome[]>,
  nothingToDo: string,
): Promise<void> {
  let isJson = false;
  let isForPeople = false;
  let folders: readonly string[] = [];
  const outcomes = await withStopping((stopping) =>
    withContext(flags, io, async ({ config, migrator, view }) => {
      isJson = config.output.json;
      isForPeople = config.output.logFormat === 'pretty';
      folders = config.migrationsDirs;
      stopping.attach(migrator, config.tuning);
      migrator.on('progress', (progress) => view.show(progress));
      return await work(migrator).catch(async (error: unknown) => {
        if (!(error instanceof UmzugClusterError) || !isStop(error.code)) throw error;
        const stop = isJson ? await withStates(error, migrator) : error;
        const isFine = flags['max-time-ok'] === true && error.code === 'STOPPED' && stopping.isOutOfTime;
        if (isFine) return stop;
        throw stop;
      });
    }),
  );
  if (outcomes instanceof UmzugClusterError) return tellStop(io, outcomes, isJson);
  if (isJson) return printJson(io, { migrations: outcomes });
  if (outcomes.length === 0) {
    const isEmpty = (await listMigrations(folders)).length === 0;
    printLine(io, isEmpty ? `no migrations found in ${folders.join(', ')}` : nothingToDo);
  }
  for (const outcome of outcomes) {
    printLine(io, summary(outcome));
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

/** A stop that is no failure: it was asked for by `--max-time-ok`. */
function tellStop(io: Io, { message, hint, report }: UmzugClusterError, isJson: boolean): void {
  if (isJson) printJson(io, { ...report, stopped: { message, hint: hint ?? null } });
  else printLine(io, message);
  if (hint !== undefined) printNote(io, `  hint: ${hint}`);
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

function leftBehind(name: string, rows: number): string {
  return `  ${rowsLeft(rows)}: inserted after their range was done, changed back, or not changed by update. Recount: umzug-cluster verify ${name}. To migrate them, add a migration with the same select and update`;
}

/** `2025…dated-to-date-given: 62,000 rows in 31 chunks, 0.6 s, 103,000 rows/s` */
export function summary(outcome: MigrationOutcome): string {
  const { name, kind, rows, rowsBefore, changed, chunks, retries, durationMs } = outcome;
  if (kind === 'schema') return `${name}: done in ${formatDuration(durationMs)}`;
  const now = rows - rowsBefore;
  const rate = durationMs > 0 && now > 0 ? `, ${number((now * 1_000) / durationMs)} rows/s` : '';
  const part = rowsBefore > 0 ? `, ${now === 0 ? 'none' : number(now)} of them now` : '';
  const again = retries > 0 ? `, ${counted(retries, 'retry', 'retries')}` : '';
  const none = changed === 0 && now > 0 ? ' passed, 0 changed,' : '';
  const parts = `${counted(rows, 'row')}${none} in ${counted(chunks, 'chunk')}`;
  return `${name}: ${parts}${part}, ${formatDuration(durationMs)}${rate}${again}`;
}
