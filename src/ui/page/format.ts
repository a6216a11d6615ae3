/** Numbers and times in the browser's locale. What is not known is a dash: no number on the page is a guess. */

export const unknown = '–';

const wholes = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const shorts = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });
const percents = new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 0 });
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: 'short', timeStyle: 'medium' });
const clocks = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const minutes = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' });
const days = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' });

/** `62,000` */
export function whole(value: number | null): string {
  return value === null ? unknown : wholes.format(value);
}

/** `62K`, for the axis of a plot. */
export function short(value: number | null): string {
  return value === null ? unknown : shorts.format(value);
}

/** Rounded down, as in the terminal: 100 % is shown only when it is so. */
export function percent(fraction: number | null): string {
  return fraction === null ? unknown : percents.format(Math.floor(fraction * 100) / 100);
}

/** `1 row`, `62,000 rows` */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${whole(count)} ${count === 1 ? one : many}`;
}

/** `18,500 rows/s` */
export function rate(rowsPerSecond: number | null): string {
  return rowsPerSecond === null ? unknown : `${whole(rowsPerSecond)} rows/s`;
}

const units = (
  [
    ['day', 86_400],
    ['hour', 3_600],
    ['minute', 60],
    ['second', 1],
  ] as const
).map(([unit, size]) => ({
  size,
  text: new Intl.NumberFormat(undefined, { style: 'unit', unit, unitDisplay: 'narrow' }),
}));

/** `2h 5m`: the two largest units. */
export function duration(seconds: number | null): string {
  if (seconds === null) return unknown;
  let left = Math.max(0, Math.ceil(seconds));
  const first = units.findIndex(({ size }) => left >= size);
  const shown = first === -1 ? units.slice(-1) : units.slice(first, first + 2);
  const parts = shown.flatMap(({ size, text }) => {
    const count = Math.floor(left / size);
    left -= count * size;
    return count === 0 && first !== -1 ? [] : [text.format(count)];
  });
  return parts.join(' ');
}

/** `320 ms`, `1.2 s` */
export function milliseconds(ms: number | null): string {
  if (ms === null) return unknown;
  return ms < 1_000 ? `${whole(ms)} ms` : `${shorts.format(ms / 1_000)} s`;
}

/** `11/30/26, 10:25:35 AM` */
export function moment(ms: number | null): string {
  return ms === null ? unknown : moments.format(ms);
}

/** `10:25:35 AM` */
export function clock(ms: number): string {
  return clocks.format(ms);
}

/** Under the time axis: as exact as its ticks are far apart. */
export function tick(ms: number, apartMs: number): string {
  if (apartMs >= 86_400_000) return days.format(ms);
  return apartMs >= 60_000 ? minutes.format(ms) : clocks.format(ms);
}
