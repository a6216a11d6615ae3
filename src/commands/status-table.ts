import { formatDuration } from '../core/duration.ts';
import { grouped as number } from '../core/numbers.ts';
import type { Migrator } from '../migrator.ts';
import { printJson, printLine, table } from './output.ts';

type Report = Awaited<ReturnType<Migrator['status']>>;
type Entry = Report['migrations'][number];

const head = ['name', 'kind', 'state', 'rows', 'done', 'rows/s', 'ETA', 'workers'];
const rightAligned = [3, 4, 5, 6, 7];

/** Prints a status report: JSON as it is, else a table; `details` adds what is known about each migration. */
export function printStatus(
  report: Report,
  { json, details }: { readonly json: boolean; readonly details: boolean },
): void {
  if (json) return printJson(report);
  if (report.migrations.length === 0) return printLine('no migrations found');
  for (const line of table([head, ...report.migrations.map(cells)], rightAligned)) printLine(line);
  for (const entry of report.migrations) for (const line of remarks(entry, details)) printLine(line);
}

function cells({ name, kind, state, rows, rowsPerSecond, etaSeconds, workers }: Entry): readonly string[] {
  const isOpen = state !== 'pending' && state !== 'executed' && state !== 'missing';
  const hasRows = kind === 'data' && (isOpen || rows.done > 0);
  const share = rows.estimated ? Math.min(100, Math.floor((rows.done / rows.estimated) * 100)) : null;
  return [
    name,
    kind ?? '',
    state,
    hasRows ? number(rows.done) : '',
    isOpen && share !== null ? `${share}%` : '',
    rowsPerSecond ? number(rowsPerSecond) : '',
    etaSeconds ? formatDuration(etaSeconds * 1_000) : '',
    workers.length > 0 ? String(workers.length) : '',
  ];
}

/** What went wrong is always said; the rest only about the migration that was asked for. */
function remarks(entry: Entry, details: boolean): readonly string[] {
  const lines: string[] = [];
  if (entry.error) lines.push(`error: ${entry.error}`);
  if (entry.throttled) lines.push(`waiting: ${entry.throttled}`);
  if (entry.rows.quarantined > 0) {
    lines.push(`${number(entry.rows.quarantined)} rows are quarantined: umzug-cluster retry ${entry.name}`);
  }
  if (details) {
    for (const { key, error } of entry.quarantine) lines.push(`row ${key.join(', ')}: ${error}`);
    for (const { host, pid, range } of entry.workers) lines.push(`worker ${pid} on ${host}: range ${range}`);
    if (entry.kind === 'data') lines.push(`${number(entry.chunks)} chunks, ${number(entry.retries)} retries`);
    if (entry.startedAt) lines.push(`started ${entry.startedAt}`);
    if (entry.executedAt) lines.push(`executed ${entry.executedAt}`);
  }
  return lines.map((line) => `  ${entry.name}: ${line}`);
}
