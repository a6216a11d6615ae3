import { formatDuration, formatTime } from '../../core/config/duration.ts';
import { isUnderWay } from '../../core/config/states.ts';
import { grouped as number } from '../../core/values/numbers.ts';
import type { Overview, Point, RangeView, RunDetail } from '../api/contract.ts';
import { type Html, documentOf, factsOf, markup, tableOf } from './html.ts';

/** The report of a run as one HTML file, to be attached to a ticket: no script, nothing loaded, no value of a row. */
export function runReport(
  { database, version }: Pick<Overview, 'database' | 'version'>,
  run: RunDetail,
): string {
  const { row, chunks, retries, table, key, settings, points, ranges, quarantine, history, at } = run;
  const { name, state, rowsDone, rowsEstimated, startedAt, finishedAt, error } = row;
  // Of one that stands still nobody knows until when it ran.
  const until = finishedAt ?? (isUnderWay(state) ? at : null);
  const tookMs = startedAt === null || until === null ? null : until - startedAt;
  const set = Object.entries(settings).map(([what, value]) => `${what}=${String(value)}`);
  const facts = factsOf([
    ['Database', database],
    ['State', row.direction === 'down' ? `${state} (down)` : state],
    ['Run', row.runId],
    ['Table', table === null ? null : `${table}, by ${key.join(', ')}`],
    ['Started', startedAt === null ? null : time(startedAt)],
    ['Finished', finishedAt === null ? null : time(finishedAt)],
    ['Time', tookMs === null ? null : formatDuration(tookMs)],
    ['Rows', rowsEstimated === null ? number(rowsDone) : `${number(rowsDone)} of ${number(rowsEstimated)}`],
    ['Rows per second', row.rowsPerSecond === null ? null : number(row.rowsPerSecond)],
    ['Chunks', `${number(chunks)}, ${number(retries)} tried again`],
    ['Quarantined', number(row.quarantined)],
    ['Settings', set.length === 0 ? null : set.join(', ')],
    ['Held', row.heldBy],
    ['Error', error === null ? null : markup`<span class="error">${error}</span>`],
  ]);
  const quarantined = quarantine.map((one) => [
    one.key.join(', '),
    one.error,
    one.sqlstate,
    one.attempts,
    time(one.at),
  ]);
  const events = history.map((one) => [time(one.at), one.event, one.by, one.version, one.commit, one.detail]);
  return documentOf(
    `${name}: ${state}`,
    markup`<h1>${name}</h1>
${facts}
${plot('Rows done', points, (point) => point[1])}
${plot('Rows per second', points, (point) => point[2])}
${plot('Time of a chunk, ms', points, (point) => point[3])}
${map(ranges)}
${section('Quarantined rows', tableOf(['Key', 'Error', 'SQLSTATE', 'Tries', 'At'], quarantined), quarantined)}
${section('History', tableOf(['At', 'Event', 'By', 'Version', 'Commit', ''], events), events)}
<footer>umzug-cluster ${version}, ${time(at)}</footer>`,
  );
}

const time = (at: number): string => `${formatTime(new Date(at).toISOString())} UTC`;

function section(title: string, body: Html, rows: readonly unknown[]): Html | null {
  return rows.length === 0 ? null : markup`<h2>${title}</h2>\n${body}`;
}

const [width, height] = [900, 160];

function plot(
  title: string,
  points: readonly Point[],
  valueOf: (point: Point) => number | null,
): Html | null {
  const known = points.flatMap((point) => {
    const value = valueOf(point);
    return value === null ? [] : [[point[0], value] as const];
  });
  const [first, last] = [known[0]?.[0] ?? 0, known.at(-1)?.[0] ?? 0];
  if (known.length < 2 || last <= first) return null;
  const most = Math.max(...known.map(([, value]) => value), Number.EPSILON);
  const places = known.map(([at, value]) => {
    const x = ((at - first) / (last - first)) * width;
    return `${x.toFixed(1)},${((1 - value / most) * (height - 20) + 18).toFixed(1)}`;
  });
  return markup`<h2>${title}</h2>
<svg viewBox="0 0 ${width} ${height + 18}" role="img" aria-label="${title}">
<text x="4" y="13">${number(Math.round(most))}</text>
<text x="4" y="${height + 14}">${time(first)}</text>
<text x="${width - 4}" y="${height + 14}" text-anchor="end">${time(last)}</text>
<polyline class="line" points="${places.join(' ')}"/>
</svg>`;
}

const mapHeight = 36;

/** The key space, with what is done of each range. */
function map(ranges: readonly RangeView[]): Html | null {
  const all = Math.max(...ranges.map(({ at, length }) => at + length), 0);
  if (all <= 0) return null;
  const scaled = (rows: number): string => ((rows / all) * width).toFixed(2);
  const bars = ranges.map(({ no, at, length, done, state, lastError }) => {
    const title = `range ${no}: ${state}, ${Math.round(done * 100)}% done${lastError === null ? '' : `, ${lastError}`}`;
    const [x = '', whole = '', part = ''] = [at, Math.max(length, all / width), length * done].map(scaled);
    return markup`<g><title>${title}</title>
<rect class="${state}" x="${x}" width="${whole}" height="${mapHeight}"/>
<rect class="done" x="${x}" width="${part}" height="${mapHeight}"/></g>
`;
  });
  return markup`<h2>Key space</h2>
<svg viewBox="0 0 ${width} ${mapHeight}" role="img" aria-label="Ranges of the key space">
${bars}</svg>`;
}
