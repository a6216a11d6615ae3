import { formatDuration } from '../../core/config/duration.ts';
import { counted, grouped as number, rowsAre } from '../../core/values/numbers.ts';
import { stopCodes } from '../../errors.ts';
import type { DownOptions, RevertTarget } from '../../migrator/migrator.ts';
import type { Fleet } from '../../targets/fleet.ts';
import { verdictOn } from '../../targets/verdict.ts';
import { requireYes } from '../frame/ask.ts';
import { type Io, printNote } from '../frame/output.ts';

const reverting = ['revert', 'reverted'] as const;

/** Shows what `down` would do, and asks. Throws STOPPED unless the answer is yes. */
export async function confirmDown(
  io: Io,
  targets: readonly RevertTarget[],
  options: DownOptions,
  signal: AbortSignal,
): Promise<void> {
  printNote(io, `down reverts ${counted(targets.length, 'migration')}, the last one first:`);
  for (const target of targets) printNote(io, `  ${target.name}: ${describeTarget(target)}`);
  if (targets.some(({ isRestored }) => isRestored)) {
    printNote(
      io,
      options.overwrite === true
        ? 'Rows get their stored values back, also those that were changed after the migration.'
        : 'Rows get their stored values back, but for those that were changed after the migration: these are left alone and listed.',
    );
  }
  if (targets.some(({ kind, isRestored }) => kind === 'data' && !isRestored)) {
    printNote(
      io,
      'Rows are passed to down.update as they are now: it restores what it can compute, no earlier values are kept.',
    );
  }
  if (targets.some(({ kind }) => kind === 'schema')) {
    printNote(io, "What a schema migration's down drops is lost.");
  }
  await requireYes(io, 'Continue?', reverting, signal);
}

/** The same for several targets, in one question; notes in `shown` what it is about in each. */
export async function confirmTargets(
  io: Io,
  fleet: Fleet,
  options: DownOptions,
  shown: Map<string, readonly string[]>,
): Promise<void> {
  const ends = await fleet.each(({ migrator }) => migrator.reverting(options));
  const stopped = fleet.stopped === null ? null : stopCodes[fleet.stopped];
  const problem = verdictOn(ends, { again: 'down', stopped, report: {} });
  if (problem !== null) throw problem;
  const sums = new Map<string, { targets: number; rows: number }>();
  for (const { target, value } of ends) {
    for (const { name, rows } of value ?? []) {
      const sum = sums.get(name) ?? { targets: 0, rows: 0 };
      sums.set(name, { targets: sum.targets + 1, rows: sum.rows + rows });
    }
    shown.set(target.name, value?.map(({ name }) => name) ?? []);
  }
  if (sums.size === 0) return;
  printNote(io, `down reverts, in each target the last one first:`);
  for (const [name, { targets, rows }] of sums) {
    printNote(
      io,
      `  ${name}: in ${counted(targets, 'target')}, ${counted(rows, 'row')} that up has migrated`,
    );
  }
  await requireYes(io, 'Continue?', reverting, fleet.signal);
}

function describeTarget({ kind, rows, quarantined, upMs, isBegun }: RevertTarget): string {
  if (kind === 'schema') return 'schema migration, runs its down once';
  const parts = [
    isBegun
      ? `resumes a rollback of ${counted(rows, 'row')}`
      : `${number(rows)} ${rows === 1 ? 'row' : 'rows'} that up has migrated`,
    ...(upMs === null ? [] : [`which took ${formatDuration(upMs)} from start to finish`]),
    ...(quarantined === 0 ? [] : [`${rowsAre(quarantined, 'quarantined')} and left out`]),
  ];
  return parts.join(', ');
}
