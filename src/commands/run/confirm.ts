import { formatDuration } from '../../core/config/duration.ts';
import { counted, grouped as number, rowsAre } from '../../core/values/numbers.ts';
import { fail } from '../../errors.ts';
import type { RevertTarget } from '../../migrator/migrator.ts';
import { isYes } from '../frame/ask.ts';
import { type Io, printNote } from '../frame/output.ts';

/** Shows what `down` would do, and asks. Throws STOPPED unless the answer is yes. */
export async function confirmDown(
  io: Io,
  targets: readonly RevertTarget[],
  signal: AbortSignal,
): Promise<void> {
  printNote(io, `down reverts ${counted(targets.length, 'migration')}, the last one first:`);
  for (const target of targets) printNote(io, `  ${target.name}: ${describeTarget(target)}`);
  if (targets.some(({ kind }) => kind === 'data')) {
    printNote(
      io,
      'Rows are passed to down.update as they are now: it restores what it can compute, no earlier values are kept.',
    );
  }
  if (targets.some(({ kind }) => kind === 'schema')) {
    printNote(io, "What a schema migration's down drops is lost.");
  }
  if (await isYes(io, 'Continue? [y/N] ', signal)) return;
  throw fail('STOPPED', { message: 'nothing was reverted', hint: 'to revert without a question: --yes' });
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
