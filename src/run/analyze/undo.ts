import type { Undo } from '../../ledger/run/rows.ts';
import { fail } from '../../errors.ts';
import { type BaseTable, isKeyless } from '../../migration/key/key.ts';
import { readStoredColumns } from '../../migration/key/stored-columns.ts';
import type { Session } from '../../postgres/session.ts';
import type { RunEnvironment } from '../context/environment.ts';
import type { DataMigration } from '../context/step.ts';

/** What a run needs to be rolled back by images; null: neither its options nor the setting ask for that. */
export async function undoOf(
  session: Session,
  { tuning }: RunEnvironment,
  { name, options }: DataMigration,
  base: BaseTable,
): Promise<Undo | null> {
  const { undo = tuning.undo } = options;
  if (undo === false) return null;
  if (isKeyless(base) || base.isGrouped === true) throw withoutKey(name, base);
  const keepDays = undo === true ? null : undo.keepDays;
  return { columns: await readStoredColumns(session, base), keepDays };
}

function withoutKey(name: string, { name: table, isGrouped }: BaseTable): Error {
  const [why, instead] =
    isGrouped === true ? ['select groups them', 'export down'] : ['it has no key', 'add a primary key'];
  return fail('SELECT_REFUSED', {
    message: `${name}: undo cannot find the rows of "${table}" again: ${why}`,
    detail: 'nothing was changed',
    hint: `${instead}, or set options.undo to false`,
  });
}
