import { formatDuration } from '../config/duration.ts';
import { counted, grouped as number } from '../values/numbers.ts';
import type { Progress } from './progress.ts';
import { stripControls } from '../errors/redact.ts';

const styles = { name: 1, bar: 36, waiting: 33, quiet: 2, bad: 31 } as const;

/** A part of a line, which is painted as a whole. */
export interface Segment {
  readonly text: string;
  readonly style?: keyof typeof styles;
}

/**
 * One line about a running migration, at most `columns` wide: bar, percent, rows, rate, ETA, chunk size,
 * workers, what it waits for. `color` adds escape sequences, which take no columns.
 */
export function formatProgress(progress: Progress, columns: number, color: boolean): string {
  return paint(cut(segmentsOf(progress, columns), columns), color);
}

function segmentsOf(progress: Progress, columns: number): Segment[] {
  const { fraction, rowsPerSecond, etaSeconds, waiting, throttled } = progress;
  const finished = fraction !== null && fraction >= 1;
  const segments: Segment[] = [
    {
      text: shortName(stripControls(progress.migration), Math.max(8, Math.floor(columns / 4))),
      style: 'name',
    },
  ];
  if (progress.direction === 'down') segments.push({ text: 'down' });
  if (columns >= 60) segments.push({ text: bar(fraction, columns < 100 ? 10 : 20), style: 'bar' });
  segments.push({ text: percent(fraction) });
  // What it waits for is news, the numbers behind it are not: where columns are few, it comes first.
  const wait: Segment[] = [];
  if (waiting !== null) wait.push({ text: `waiting: ${stripControls(waiting)}`, style: 'waiting' });
  if (throttled !== null) wait.push({ text: `held back: ${stripControls(throttled)}`, style: 'waiting' });
  if (columns < 140) segments.push(...wait);
  segments.push({ text: rowsText(progress) });
  if (waiting === null)
    segments.push({ text: rowsPerSecond === null ? 'measuring' : `${number(rowsPerSecond)} rows/s` });
  if (!finished && waiting === null)
    segments.push({ text: etaSeconds === null ? 'ETA measuring' : `ETA ${etaText(etaSeconds)}` });
  if (columns >= 140) segments.push(...wait);
  segments.push(
    { text: `chunk ${number(progress.chunkSize)}` },
    { text: counted(progress.workers, 'worker') },
  );
  if (progress.otherHosts > 0) {
    segments.push({ text: `${progress.otherWorkers} on ${counted(progress.otherHosts, 'other host')}` });
  }
  if (progress.retries > 0) segments.push({ text: counted(progress.retries, 'retry', 'retries') });
  if (progress.quarantined > 0)
    segments.push({ text: `${counted(progress.quarantined, 'row')} quarantined` });
  return segments;
}

/** Filled and empty blocks. */
export function bar(fraction: number | null, barColumns: number): string {
  const full = Math.floor(clamp(fraction ?? 0) * barColumns);
  return '█'.repeat(full) + '░'.repeat(barColumns - full);
}

/** Never rounds up to 100: that is said only when it is so. */
export function percent(fraction: number | null): string {
  return fraction === null ? '  ?%' : `${String(Math.floor(clamp(fraction) * 100)).padStart(3)}%`;
}

/** `31,000/62,000 rows` */
export function rowsText({ rowsDone, rowsEstimated }: Progress): string {
  return rowsEstimated === null
    ? `${number(rowsDone)} rows`
    : `${number(rowsDone)}/${number(Math.max(rowsDone, rowsEstimated))} rows`;
}

/** Whole seconds: tenths of a time that is estimated say nothing. */
export function etaText(seconds: number): string {
  return seconds < 60 ? `${Math.ceil(seconds)} s` : formatDuration(seconds * 1_000);
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
export function cut(segments: readonly Segment[], columns: number): Segment[] {
  const kept: Segment[] = [];
  let room = columns;
  for (const [index, segment] of segments.entries()) {
    const letters = [...(index === 0 ? segment.text : `  ${segment.text}`)];
    if (letters.length > room) {
      if (room > 0) kept.push({ ...segment, text: `${letters.slice(0, room - 1).join('')}…` });
      break;
    }
    kept.push({ ...segment, text: letters.join('') });
    room -= letters.length;
  }
  return kept;
}

/** Segments as one line, with their colours where wanted. */
export function paint(segments: readonly Segment[], color: boolean): string {
  const painted = segments.map(({ text, style }) =>
    color && style !== undefined ? `\u001b[${styles[style]}m${text}\u001b[0m` : text,
  );
  return painted.join('');
}
