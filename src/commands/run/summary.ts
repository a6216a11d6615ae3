import { formatDuration } from '../../core/config/duration.ts';
import { counted, grouped as number, percent, rowsLeft } from '../../core/values/numbers.ts';
import type { UmzugClusterError } from '../../errors.ts';
import type { Conflict } from '../../ledger/run/conflicts.ts';
import type { MigrationOutcome } from '../../migrator/migrator.ts';
import { type Io, printJson, printLine, printNote } from '../frame/output.ts';

/** A stop that is no failure: it was asked for by `--max-time-ok`. */
export function tellStop(io: Io, { message, hint, report }: UmzugClusterError, isJson: boolean): void {
  if (isJson) printJson(io, { ...report, stopped: { message, hint: hint ?? null } });
  else printLine(io, message);
  if (hint !== undefined) printNote(io, `  hint: ${hint}`);
}

/** What a migration has left, and what to do about it. */
export function leftBehind(name: string, rows: number): string {
  return `  ${rowsLeft(rows)}: inserted after their range was done, changed back, or not changed by update. Recount: umzug-cluster verify ${name}. To migrate them, add a migration with the same select and update`;
}

/** `2025…dated-to-date-given: 62,000 rows in 31 chunks, 0.6 s, 103,000 rows/s` */
export function summary(outcome: MigrationOutcome): string {
  const { restored } = outcome;
  const { name, kind, rows, rowsBefore, changed, hotShare, chunks, retries, durationMs } = outcome;
  if (kind === 'schema') return `${name}: done in ${formatDuration(durationMs)}`;
  const now = rows - rowsBefore;
  const rate = durationMs > 0 && now > 0 ? `, ${number((now * 1_000) / durationMs)} rows/s` : '';
  const part = rowsBefore > 0 ? `, ${now === 0 ? 'none' : number(now)} of them now` : '';
  const again = retries > 0 ? `, ${counted(retries, 'retry', 'retries')}` : '';
  const hot = hotShare === null ? '' : `, ${percent(hotShare)} HOT updates`;
  const none = changed === 0 && now > 0 ? ' passed, 0 changed,' : '';
  const what = restored === null ? `${counted(rows, 'row')}${none}` : restoredRows(restored);
  const parts = `${what}${restored === null ? '' : ','} in ${counted(chunks, 'chunk')}`;
  return `${name}: ${parts}${part}, ${formatDuration(durationMs)}${rate}${again}${hot}`;
}

/** `12,340 rows restored, 3 left alone because they were changed since, 1 gone` */
function restoredRows({ rows, leftAlone, gone }: NonNullable<MigrationOutcome['restored']>): string {
  return [
    `${counted(rows, 'row')} restored`,
    ...(leftAlone === 0 ? [] : [`${number(leftAlone)} left alone because they were changed since`]),
    ...(gone === 0 ? [] : [`${number(gone)} gone`]),
  ].join(', ');
}

/** Where the rows that were not restored are listed; null: all were. */
export function listedConflicts({ name, restored }: MigrationOutcome): string | null {
  if (restored === null || restored.leftAlone + restored.gone === 0) return null;
  return `  list them: umzug-cluster status ${name}`;
}

/** `row 12: "state" was changed since`, of a row that was not restored. */
export function conflictText({ key, table, columns, reason }: Conflict): string {
  const names = columns.map((column) => `"${column}"`).join(', ');
  const why = {
    changed: `${names} ${columns.length === 1 ? 'was' : 'were'} changed since`,
    exists: 'it was deleted, and its key or another unique value of it is there again',
    gone: 'it is gone',
  }[reason];
  return `row ${key.join(', ')}${table === null ? '' : ` of ${table}`}: ${why}`;
}
