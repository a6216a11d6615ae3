import { isHeld } from '../../core/config/states.ts';
import { describeOverrides } from '../../core/config/steering.ts';
import { formatDuration } from '../../core/config/duration.ts';
import { etaText, percent } from '../../core/progress/progress-text.ts';
import { counted, formatBytes, grouped as number, rowsAre } from '../../core/values/numbers.ts';
import type { Migrator } from '../../migrator/migrator.ts';
import { heldHint } from '../../run/lifecycle/held.ts';
import { conflictText } from '../run/summary.ts';
import { type Io, printJson, printLine, table } from '../frame/output.ts';

type Report = Awaited<ReturnType<Migrator['status']>>;
type Entry = Report['migrations'][number];

const head = ['name', 'kind', 'state', 'rows', 'done', 'rows/s', 'ETA', 'workers'];
const rightAligned = [3, 4, 5, 6, 7];

/** Prints a status report: JSON as it is, else a table; `details` adds what is known about each migration. */
export function printStatus(
  io: Io,
  report: Report,
  { json, details }: { readonly json: boolean; readonly details: boolean },
): void {
  if (json) return printJson(io, report);
  for (const line of statusLines(report, details)) printLine(io, line);
}

/** A status report as a table, with remarks below it. */
export function statusLines({ migrations }: Report, details: boolean): readonly string[] {
  if (migrations.length === 0) return ['no migrations found'];
  return [
    ...table([head, ...migrations.map(cells)], rightAligned),
    ...migrations.flatMap((entry) => remarks(entry, details)),
    ...(details ? [] : storedLine(migrations)),
  ];
}

/** What all of them have stored; nobody looks at each of them. */
function storedLine(entries: readonly Entry[]): readonly string[] {
  const stored = entries.flatMap(({ undo }) => (undo === null ? [] : [undo.bytes]));
  if (stored.length === 0) return [];
  const bytes = stored.reduce((sum, own) => sum + own, 0);
  return [`  stored to be rolled back, by ${counted(stored.length, 'migration')}: ${formatBytes(bytes)}`];
}

/** One migration as a line of a log: what has changed since the line before. */
export function statusLine(entry: Entry): string {
  const said = cells(entry).slice(2);
  const labels = ['', '', '', ' rows/s', '', ''];
  const parts = said.flatMap((cell, index) => {
    if (cell === '') return [];
    if (index === 1) return [`${cell} rows`];
    if (index === 4) return [`ETA ${cell}`];
    if (index === 5) return [`${cell} ${cell === '1' ? 'worker' : 'workers'}`];
    return [`${cell}${labels[index] ?? ''}`];
  });
  const reasons = remarks(entry, false).map((line) => line.trim().slice(entry.name.length + 2));
  return `${entry.name}: ${[...parts, ...reasons].join(', ')}`;
}

function cells(entry: Entry): readonly string[] {
  const { name, kind, state, rows, fraction, rowsPerSecond, etaSeconds } = entry;
  const processes = processesOf(entry);
  const isOpen = state !== 'pending' && state !== 'executed' && state !== 'missing';
  const hasRows = kind === 'data' && (isOpen || rows.done > 0);
  return [
    name,
    kind ?? '',
    state,
    hasRows ? number(rows.done) : '',
    isOpen && fraction !== null ? percent(fraction).trim() : '',
    rowsPerSecond ? number(rowsPerSecond) : '',
    etaSeconds ? etaText(etaSeconds) : '',
    processes > 0 ? String(processes) : '',
  ];
}

/** As the hosts tell; where none has told yet, those that are seen at a range. */
function processesOf({ hosts, workers }: Entry): number {
  if (hosts.length > 0) return hosts.reduce((sum, host) => sum + host.workers, 0);
  return new Set(workers.map(({ host, pid }) => `${host}:${pid}`)).size;
}

/** What went wrong is always said; the rest only about the migration that was asked for. */
function remarks(entry: Entry, details: boolean): readonly string[] {
  const lines: string[] = [];
  const { name, state, direction, abandonedSeconds, fileMissing, tableRecreated } = entry;
  const again = direction === 'down' ? `umzug-cluster down --name ${name}` : 'umzug-cluster up';
  if (entry.error) lines.push(`error: ${entry.error}`);
  if (fileMissing && state !== 'missing') {
    lines.push('its file is missing here: put it back; without it the run cannot be finished or reverted');
  }
  if (tableRecreated) {
    const rerun = `umzug-cluster up --rerun ALLOW --name ${name}`;
    lines.push(
      `its table was recreated since: run it again: ${rerun}; or accept it: umzug-cluster repair ${name}`,
    );
  }
  if (abandonedSeconds !== null) {
    const ago = formatDuration(abandonedSeconds * 1_000);
    const isUntouched = direction === 'down' && entry.chunks === 0;
    const abandon = isUntouched ? `; abandon the rollback: umzug-cluster cancel ${name}` : '';
    lines.push(`no host has worked on it for ${ago}; resume: ${again}${abandon}`);
  }
  if (entry.waiting) lines.push(`waiting: ${entry.waiting}`);
  if (entry.throttled) lines.push(`held back: ${entry.throttled}`);
  if (isHeld(state)) {
    const by = entry.heldBy === null ? '' : ` ${entry.heldBy}`;
    lines.push(
      `${state === 'paused' ? 'paused' : 'parked'}${by}; ${heldHint({ name, direction: 'up', state })}`,
    );
  }
  if (entry.rows.quarantined > 0) {
    lines.push(`${rowsAre(entry.rows.quarantined, 'quarantined')}: umzug-cluster retry ${name}`);
  }
  if (entry.conflicts !== null) {
    const { leftAlone, gone, rows } = entry.conflicts;
    lines.push(`not restored by its rollback: ${counted(leftAlone, 'row')} left alone, ${number(gone)} gone`);
    if (details) lines.push(...rows.map(conflictText));
    const more = leftAlone + gone - rows.length;
    if (details && more > 0) lines.push(`and ${number(more)} more`);
  }
  if (entry.undo !== null && details) {
    const what =
      entry.conflicts === null ? 'stored to be rolled back' : 'stored, also of what was not restored';
    lines.push(`${what}: ${formatBytes(entry.undo.bytes)}; remove it: umzug-cluster forget ${name}`);
  }
  if (Object.keys(entry.settings).length > 0) lines.push(`set: ${describeOverrides(entry.settings)}`);
  if (details) {
    for (const { key, error, attempts } of entry.quarantine)
      lines.push(`row ${key.join(', ')}: ${error} (${counted(attempts, 'attempt')})`);
    for (const { host, pid, workers } of entry.hosts)
      lines.push(`host ${host}, pid ${pid}: ${counted(workers, 'worker')}`);
    for (const { host, pid, range } of entry.workers) lines.push(`worker ${pid} on ${host}: range ${range}`);
    if (entry.kind === 'data') {
      lines.push(`${counted(entry.chunks, 'chunk')}, ${counted(entry.retries, 'retry', 'retries')}`);
    }
    if (entry.startedAt) lines.push(`started ${entry.startedAt}`);
    if (entry.executedAt) lines.push(`executed ${entry.executedAt}`);
  }
  return lines.map((line) => `  ${entry.name}: ${line}`);
}
