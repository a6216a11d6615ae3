/** Names or rows that one message lists. */
export const mostListed = 20;

/** 62,000: the same on every host, whatever its locale. By hand: Intl's first call takes tens of milliseconds. */
export function grouped(value: number): string {
  return String(Math.round(value)).replaceAll(/\B(?=(?:\d{3})+$)/g, ',');
}

/** `1 row`, `62,000 rows` */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${grouped(count)} ${count === 1 ? one : many}`;
}

/** `1 row is quarantined`, `62,000 rows are quarantined` */
export function rowsAre(count: number, what: string): string {
  return `${counted(count, 'row is', 'rows are')} ${what}`;
}

/** `1 row is left`, `62,000 rows are left` */
export function rowsLeft(count: number): string {
  return rowsAre(count, 'left');
}

const units = ['kB', 'MB', 'GB', 'TB'] as const;

/** Bytes for people: "640 bytes", "1.5 kB", "12 GB". */
export function formatBytes(bytes: number): string {
  if (bytes < 1_000) return `${Math.round(bytes)} bytes`;
  let value = bytes;
  let unit = '';
  for (const next of units) {
    if (value < 1_000 && unit !== '') break;
    value /= 1_000;
    unit = next;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

/** `98%` of a share from 0 to 1, rounded down: 100% is all of it. */
export function percent(share: number): string {
  return `${Math.floor(share * 100)}%`;
}
