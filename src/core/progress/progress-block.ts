import { formatDuration } from '../config/duration.ts';
import { counted, grouped } from '../values/numbers.ts';
import { type Segment, bar, cut, etaText, paint, percent, rowsText, shortName } from './progress-line.ts';
import type { Progress } from './progress.ts';
import { stripControls } from '../errors/redact.ts';

// Below this a bar and a line about chunks and workers would crowd out what matters.
const narrow = 60;

/**
 * A running migration as a few lines, each at most `columns` wide: its name; bar, percent, rows, rate and time left;
 * chunks, workers and errors; and what it waits for or is held back by. `color` adds escape sequences, which take
 * no columns.
 */
export function formatBlock(progress: Progress, columns: number, color: boolean): readonly string[] {
  const lines = [nameLine(progress, columns), measureLine(progress, columns)];
  if (columns >= narrow) lines.push(workLine(progress));
  for (const reason of reasons(progress)) lines.push([{ text: `  ${reason}`, style: 'waiting' }]);
  return lines.map((line) => paint(cut(line, columns), color));
}

function nameLine({ migration, direction }: Progress, columns: number): readonly Segment[] {
  const suffix = direction === 'down' ? ' (down)' : '';
  const room = Math.max(8, columns - suffix.length);
  return [{ text: `${shortName(stripControls(migration), room)}${suffix}`, style: 'name' }];
}

function measureLine(progress: Progress, columns: number): readonly Segment[] {
  const { fraction, rowsPerSecond, etaSeconds, waiting } = progress;
  const isDone = fraction !== null && fraction >= 1;
  const rate: Segment[] =
    waiting !== null
      ? []
      : [{ text: rowsPerSecond === null ? 'measuring' : `${grouped(rowsPerSecond)} rows/s` }];
  const left: Segment[] =
    isDone || waiting !== null
      ? []
      : [{ text: `ETA ${etaSeconds === null ? 'measuring' : etaText(etaSeconds)}` }];
  const done: Segment = { text: percent(fraction).trim() };
  if (columns < narrow) return [{ text: `  ${done.text}` }, ...left, { text: rowsText(progress) }, ...rate];
  const width = Math.max(10, Math.min(40, columns - 70));
  return [
    { text: `  ${bar(fraction, width)}`, style: 'bar' },
    done,
    { text: rowsText(progress) },
    ...rate,
    ...left,
  ];
}

function workLine(progress: Progress): readonly Segment[] {
  const { chunks, chunkSize, chunkMs, workers, otherWorkers, otherHosts, retries, quarantined } = progress;
  const time = chunkMs === null ? '' : ` in ${formatDuration(chunkMs)}`;
  const chunk = chunkSize === 0 ? 'no chunk yet' : `chunk ${grouped(chunkSize)} rows${time}`;
  const others = otherHosts === 0 ? '' : `, ${otherWorkers} on ${counted(otherHosts, 'other host')}`;
  const parts = [`${grouped(chunks)} done`, chunk, `${counted(workers, 'worker')}${others}`];
  if (retries > 0) parts.push(counted(retries, 'retry', 'retries'));
  const quiet: Segment = { text: `  ${parts.join(' · ')}`, style: 'quiet' };
  return quarantined === 0
    ? [quiet]
    : [quiet, { text: `${counted(quarantined, 'row')} quarantined`, style: 'bad' }];
}

/** What slows it down, the most telling first. */
function reasons({ waiting, throttled, etaReason }: Progress): readonly string[] {
  const found: string[] = [];
  if (waiting !== null) found.push(`waiting: ${stripControls(waiting)}`);
  if (throttled !== null) found.push(`held back: ${stripControls(throttled)}`);
  if (etaReason !== null) found.push(`the time left has grown: ${etaReason}`);
  return found;
}
