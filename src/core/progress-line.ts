import { formatDuration } from './duration.ts';
import { grouped as number } from './numbers.ts';
import type { Progress } from './progress.ts';
import { stripControls } from './redact.ts';

const styles = { name: 1, bar: 36, waiting: 33 } as const;

interface Segment {
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
  const { fraction, rowsPerSecond, etaSeconds, waiting } = progress;
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
  const wait: Segment[] =
    waiting === null ? [] : [{ text: `waiting: ${stripControls(waiting)}`, style: 'waiting' }];
  if (columns < 140) segments.push(...wait);
  segments.push(
    { text: rows(progress) },
    { text: rowsPerSecond === null ? 'measuring' : `${number(rowsPerSecond)} rows/s` },
  );
  if (!finished) segments.push({ text: etaSeconds === null ? 'ETA measuring' : `ETA ${eta(etaSeconds)}` });
  if (columns >= 140) segments.push(...wait);
  segments.push(
    { text: `chunk ${number(progress.chunkSize)}` },
    { text: progress.workers === 1 ? '1 worker' : `${progress.workers} workers` },
  );
  return segments;
}

function bar(fraction: number | null, barColumns: number): string {
  const full = Math.floor(clamp(fraction ?? 0) * barColumns);
  return '█'.repeat(full) + '░'.repeat(barColumns - full);
}

/** Never rounds up to 100: that is said only when it is so. */
function percent(fraction: number | null): string {
  return fraction === null ? '  ?%' : `${String(Math.floor(clamp(fraction) * 100)).padStart(3)}%`;
}

function rows({ rowsDone, rowsEstimated }: Progress): string {
  return rowsEstimated === null
    ? `${number(rowsDone)} rows`
    : `${number(rowsDone)}/${number(Math.max(rowsDone, rowsEstimated))} rows`;
}

function eta(seconds: number): string {
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

function cut(segments: readonly Segment[], columns: number): Segment[] {
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

function paint(segments: readonly Segment[], color: boolean): string {
  const painted = segments.map(({ text, style }) =>
    color && style !== undefined ? `\u001b[${styles[style]}m${text}\u001b[0m` : text,
  );
  return painted.join('');
}
