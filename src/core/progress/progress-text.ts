import { formatDuration } from '../config/duration.ts';
import { stripControls } from '../errors/redact.ts';
import { counted, grouped } from '../values/numbers.ts';
import type { Progress } from './progress.ts';

// Below this a bar and a line about chunks and workers would crowd out what matters.
const narrow = 60;

const styles = { name: 1, bar: 36, waiting: 33, quiet: 2, bad: 31 } as const;

/** A part of a line, which is painted as a whole. */
interface Segment {
  readonly text: string;
  readonly style?: keyof typeof styles;
}

/**
 * A running migration as a few lines, each at most `columns` wide: its name; bar, percent, rows, rate and time left;
 * chunks, workers and errors; and what it waits for or is held back by. `color` adds escape sequences, which take
 * no columns.
 */
export function formatBlock(progress: Progress, columns: number, color: boolean): readonly string[] {
  return linesOf(progress, columns).map((line, index) =>
    paint(cut(line, columns, index === 0 ? '' : '  '), color),
  );
}

/** The same as a sentence of a log: `sku-norm 41% 123,000/300,000 rows 18,500 rows/s ETA 10s`, and what is wrong. */
export function formatProgress(progress: Progress): string {
  const { migration, direction, waiting, throttled, quarantined } = progress;
  const name = `${stripControls(migration)}${direction === 'down' ? ' (down)' : ''}`;
  const numbers = [name, ...figures(progress).map(({ text }) => text)].join(' ');
  const wrong = [
    ...(waiting === null ? [] : [`waiting: ${stripControls(waiting)}`]),
    ...(throttled === null ? [] : [`held back: ${stripControls(throttled)}`]),
    ...(quarantined === 0 ? [] : [`${counted(quarantined, 'row')} quarantined`]),
  ];
  return [numbers, ...wrong].join('; ');
}

function linesOf(progress: Progress, columns: number): readonly (readonly Segment[])[] {
  const { migration, direction, waiting, throttled } = progress;
  const suffix = direction === 'down' ? ' (down)' : '';
  const name = shortName(stripControls(migration), Math.max(8, columns - suffix.length));
  const lines: (readonly Segment[])[] = [
    [{ text: `${name}${suffix}`, style: 'name' }],
    measures(progress, columns),
  ];
  if (columns >= narrow) lines.push(work(progress));
  if (waiting !== null) lines.push([{ text: `waiting: ${stripControls(waiting)}`, style: 'waiting' }]);
  if (throttled !== null) lines.push([{ text: `held back: ${stripControls(throttled)}`, style: 'waiting' }]);
  return lines;
}

function measures(progress: Progress, columns: number): readonly Segment[] {
  const parts = figures(progress);
  const [done, rows, rate, eta] = parts;
  if (columns >= narrow) {
    const bar = barOf(progress.fraction, Math.max(10, Math.min(40, columns - 70)));
    return [{ text: bar, style: 'bar' }, ...parts];
  }
  // The time left is what matters most.
  return [done, eta, rows, rate].filter((part) => part !== undefined);
}

/** Percent, rows, rate and time left; the last two only where they mean something. */
function figures(progress: Progress): readonly Segment[] {
  const { fraction, rowsDone, rowsEstimated, rowsPerSecond, etaSeconds, waiting } = progress;
  const all = rowsEstimated === null ? '' : `/${grouped(Math.max(rowsDone, rowsEstimated))}`;
  const parts = [percent(fraction).trim(), `${grouped(rowsDone)}${all} rows`];
  const isRunning = waiting === null && !(fraction !== null && fraction >= 1);
  if (waiting === null) parts.push(rowsPerSecond === null ? 'measuring' : `${grouped(rowsPerSecond)} rows/s`);
  if (isRunning && etaSeconds !== null) parts.push(`ETA ${etaText(etaSeconds)}`);
  else if (isRunning && rowsPerSecond !== null) parts.push('ETA measuring');
  return parts.map((text) => ({ text }));
}

function work(progress: Progress): readonly Segment[] {
  const { chunks, chunkSize, chunkMs, workers, otherWorkers, otherHosts, retries, quarantined } = progress;
  const time = chunkMs === null ? '' : ` in ${formatDuration(chunkMs)}`;
  const chunk = chunkSize === 0 ? 'no chunk yet' : `chunk ${grouped(chunkSize)} rows${time}`;
  const others = otherHosts === 0 ? '' : `, ${otherWorkers} on ${counted(otherHosts, 'other host')}`;
  const parts = [`${grouped(chunks)} done`, chunk, `${counted(workers, 'worker')}${others}`];
  if (retries > 0) parts.push(counted(retries, 'retry', 'retries'));
  const quiet: Segment = { text: parts.join(' · '), style: 'quiet' };
  const bad: Segment = { text: `${counted(quarantined, 'row')} quarantined`, style: 'bad' };
  return quarantined === 0 ? [quiet] : [quiet, bad];
}

function barOf(fraction: number | null, columns: number): string {
  const full = Math.floor(clamp(fraction ?? 0) * columns);
  return '█'.repeat(full) + '░'.repeat(columns - full);
}

/** Never rounds up to 100: that is shown only when it is so. */
export function percent(fraction: number | null): string {
  return fraction === null ? '  ?%' : `${String(Math.floor(clamp(fraction) * 100)).padStart(3)}%`;
}

/** Whole seconds: tenths of a time that is estimated say nothing. */
export function etaText(seconds: number): string {
  return seconds < 60 ? `${Math.ceil(seconds)}s` : formatDuration(seconds * 1_000);
}

function clamp(fraction: number): number {
  return Number.isFinite(fraction) ? Math.min(1, Math.max(0, fraction)) : 0;
}

/** Cuts in the middle of the timestamp, which says least: `2025…dated-to-date-given`. */
export function shortName(name: string, columns: number): string {
  const letters = [...name];
  if (letters.length <= columns) return name;
  const tail = letters.slice(letters.length - (columns - 5)).join('');
  return `${letters.slice(0, 4).join('')}…${tail}`;
}

/** As many of the segments as fit, two columns apart; the last may be cut. */
function cut(segments: readonly Segment[], columns: number, indent: string): Segment[] {
  const kept: Segment[] = [];
  let room = columns;
  for (const [index, segment] of segments.entries()) {
    const letters = [...(index === 0 ? indent : '  '), ...segment.text];
    if (letters.length > room) {
      if (room > 0) kept.push({ ...segment, text: `${letters.slice(0, room - 1).join('')}…` });
      break;
    }
    kept.push({ ...segment, text: letters.join('') });
    room -= letters.length;
  }
  return kept;
}

function paint(segments: readonly Segment[], color: boolean): string {
  const painted = segments.map(({ text, style }) =>
    color && style !== undefined ? `\u001b[${styles[style]}m${text}\u001b[0m` : text,
  );
  return painted.join('');
}
