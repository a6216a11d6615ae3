/** 62,000: the same on every host, whatever its locale. By hand: Intl's first call takes tens of milliseconds. */
export function grouped(value: number): string {
  return String(Math.round(value)).replaceAll(/\B(?=(?:\d{3})+$)/g, ',');
}

/** `1 row is left`, `62,000 rows are left` */
export function rowsLeft(count: number): string {
  return count === 1 ? '1 row is left' : `${grouped(count)} rows are left`;
}
