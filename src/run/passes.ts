import { fail } from '../errors.ts';
import type { RunPlan } from '../ledger/rows.ts';
import type { BaseTable } from '../migration/key.ts';
import type { SelectShape } from '../migration/select-shape.ts';
import type { Session } from '../postgres/session.ts';
import type { DataMigration, Step } from './step.ts';

// Rows of 160 bytes: where the planner has no count, the first chunks find out.
const usualRowsPerBlock = 50;

/** How the options of a migration have its run go over the table; refuses what cannot be visited so. */
export async function passesOf(
  session: Session,
  migration: DataMigration,
  step: Step,
  { shape, base }: { readonly shape: SelectShape; readonly base: BaseTable },
): Promise<Pick<RunPlan, 'sweeps' | 'rowsPerBlock'>> {
  const { sweep = false, order = 'key' } = migration.options;
  // The way back goes over what is done, by key.
  if (step !== migration) return {};
  if (order === 'key') return sweep ? { sweeps: true } : {};
  const reason = whyPlaceless({ shape, base });
  if (reason !== null) throw refused(migration, reason);
  return { sweeps: true, rowsPerBlock: await rowsPerBlock(session, base) };
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

async function rowsPerBlock(session: Session, base: BaseTable): Promise<number> {
  const { rows } = await session.query(
    `select pg_catalog.pg_relation_size($1::pg_catalog.oid::pg_catalog.regclass)::pg_catalog.float8
            operator(pg_catalog./) pg_catalog.current_setting('block_size')::pg_catalog.float8 as blocks`,
    [base.oid],
  );
  const blocks = Number(rows[0]?.['blocks']);
  return base.estimatedRows > 0 && blocks > 0 ? Math.max(1, base.estimatedRows / blocks) : usualRowsPerBlock;
}

function refused({ name, path }: DataMigration, why: string): Error {
  return fail('SELECT_REFUSED', {
    message: `${name}: options.order cannot be 'physical': ${why}`,
    detail: 'nothing was changed',
    hint: `leave options.order out in ${path}, and set options.sweep where the table is to be gone over again`,
  });
}
