import { formatDuration } from '../../core/config/duration.ts';
import { formatBytes, grouped as number } from '../../core/values/numbers.ts';
import type { MigrationPlan } from './plan-report.ts';

/** How many rows a migration is about: `about 62,000 of 100,000`. */
export function describeRows({
  rows: { estimated, table: all, isCounted, isTableCounted, why },
}: MigrationPlan): string {
  if (estimated === null) return `unknown: ${why}`;
  if (estimated === 0) return isCounted ? 'no rows match now' : 'almost no rows match';
  const about = isCounted ? '' : 'about ';
  const ofAll = all === null ? '' : ` of ${isCounted && !isTableCounted ? 'about ' : ''}${number(all)}`;
  return `${about}${number(estimated)}${ofAll}`;
}

/** `12 inserted, 300 updated`: what a sample has written, without what it has not. */
export function describeWrites(counts: Readonly<Record<string, number>>): string {
  const parts = Object.entries(counts).filter(([, rows]) => rows > 0);
  return parts.map(([what, rows]) => `${number(rows)} ${what}`).join(', ');
}

/** What the whole run takes: time, log and growth. */
export function describeEstimate({
  secondsAtMost,
  secondsAtLeast,
  walBytes,
  tableBytes,
}: NonNullable<MigrationPlan['estimate']>): string {
  const [most, least] = [formatDuration(secondsAtMost * 1_000), formatDuration(secondsAtLeast * 1_000)];
  const time = most === least ? most : `${least} to ${most}`;
  const growth =
    tableBytes === null ? '' : `; the table grows by up to ${formatBytes(tableBytes)} until vacuum`;
  return `${time}, ${formatBytes(walBytes)} of WAL${growth}`;
}
