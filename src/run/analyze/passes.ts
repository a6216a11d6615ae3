import type { Survey } from '../../core/size/survey.ts';
import { fail } from '../../errors.ts';
import type { RunPlan } from '../../ledger/run/rows.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import type { DataMigration, Step } from '../context/step.ts';

// Rows of 160 bytes: where none was drawn, the first chunks find out.
const usualRowsPerBlock = 50;

/** How the options of a migration have its run go over the table; refuses what cannot be visited so. */
export function passesOf(
  migration: DataMigration,
  step: Step,
  { shape, base }: { readonly shape: SelectShape; readonly base: BaseTable },
  survey: Survey | undefined,
): Pick<RunPlan, 'sweeps' | 'rowsPerBlock'> {
  const { sweep = false, order = 'key' } = migration.options;
  // The way back goes over what is done, by key.
  if (step !== migration) return {};
  if (order === 'key') return sweep ? { sweeps: true } : {};
  const reason = whyPlaceless({ shape, base });
  if (reason !== null) throw refused(migration, reason);
  return { sweeps: true, rowsPerBlock: rowsPerBlock(base, survey) };
}

/** Why the rows of a select cannot be visited in the order in which they are stored; null where they can. */
export function whyPlaceless({
  shape,
  base,
}: {
  readonly shape: SelectShape;
  readonly base: BaseTable;
}): string | null {
  if (base.isPartitioned === true) return `"${base.name}" is partitioned and has no blocks of its own`;
  if (!shape.plain) return 'select has a join, a CTE or a subquery, whose rows have no place in the table';
  return null;
}

function rowsPerBlock({ blocks }: BaseTable, survey: Survey | undefined): number {
  const rows = survey?.rows ?? 0;
  return rows > 0 && blocks > 0 ? Math.max(1, rows / blocks) : usualRowsPerBlock;
}

function refused({ name, path }: DataMigration, why: string): Error {
  return fail('SELECT_REFUSED', {
    message: `${name}: options.order cannot be 'physical': ${why}`,
    detail: 'nothing was changed',
    hint: `remove options.order from ${path}, and set options.sweep if the table needs another pass`,
  });
}
