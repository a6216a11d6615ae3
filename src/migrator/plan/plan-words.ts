import { formatDuration } from '../../core/config/duration.ts';
import { formatBytes, grouped as number, percent } from '../../core/values/numbers.ts';
import type { TableWrites } from '../../run/analyze/side-effects.ts';
import type { MigrationPlan, PlanReport } from './plan-report.ts';

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

/** `12 inserted, 300 updated (98% HOT)`: what a sample has written to a table, without what it has not. */
export function describeWrites({
  inserted,
  updated,
  hot,
  deleted,
}: Pick<TableWrites, 'inserted' | 'updated' | 'hot' | 'deleted'>): string {
  const share = updated > 0 ? ` (${percent(hot / updated)} HOT)` : '';
  const parts = [
    ...(inserted > 0 ? [`${number(inserted)} inserted`] : []),
    ...(updated > 0 ? [`${number(updated)} updated${share}`] : []),
    ...(deleted > 0 ? [`${number(deleted)} deleted`] : []),
  ];
  return parts.join(', ');
}

/** `physical, then sweeps: "t" (2.4 GB) is larger than …`. */
export function describeOrder({ by, why }: NonNullable<MigrationPlan['order']>): string {
  return `${by === 'physical' ? 'physical, then sweeps' : by}: ${why}`;
}

/** What undo costs a run, and what it does not cover, a line each. */
export function describeUndo({
  bytesPerRow,
  bytes,
  timesAsLong,
  uncovered,
  unrestored,
}: NonNullable<MigrationPlan['undo']>): readonly string[] {
  const all = bytes === null ? '' : `, ${formatBytes(bytes)} for the whole run`;
  const time =
    timesAsLong === null
      ? ''
      : timesAsLong > 1
        ? `; the sample took ${timesAsLong} times as long`
        : '; the sample took no longer';
  const cost =
    bytesPerRow === null
      ? 'cost not measured: it takes a temporary table, which the role may not create'
      : `${formatBytes(bytesPerRow)} per row${all}${time}`;
  const others = uncovered.length === 0 ? [] : [`does not cover what is written to ${uncovered.join(', ')}`];
  const columns = unrestored.map((name) => `"${name}"`).join(', ');
  const triggers =
    unrestored.length === 0 ? [] : [`does not restore ${columns}: only a trigger writes there`];
  return [cost, ...others, ...triggers];
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
  // What deletes rows, or writes to other tables, adds nothing to this one.
  const isGrowing = tableBytes !== null && tableBytes > 0;
  const growth = isGrowing ? `; the table grows by up to ${formatBytes(tableBytes)} until vacuum` : '';
  return `${time}, ${formatBytes(walBytes)} of WAL${growth}`;
}

/** Why a migration could not be planned; null: it was. */
export function describeBlocked({
  blockedBy,
  unplanned,
}: Pick<MigrationPlan, 'blockedBy' | 'unplanned'>): string | null {
  if (blockedBy === null) return unplanned === null ? null : `not planned: ${unplanned}`;
  const shown = unplanned === null ? '' : `: ${unplanned}`;
  return `cannot be planned before ${blockedBy} has run${shown}`;
}

/** How long the locks of schema migrations were held, and why no longer. */
export function describeTrial({ durationMs, gaveWay }: NonNullable<PlanReport['trial']>): string {
  const held = `schema migrations were tried in one transaction of ${formatDuration(durationMs)}, which held their locks and is rolled back`;
  return gaveWay === null ? held : `${held}; not all was planned: ${gaveWay}`;
}
