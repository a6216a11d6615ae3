import { fail } from '../../errors.ts';
import type { Direction } from '../../ledger/run/rows.ts';
import type { LoadedMigration } from '../../migration/file/loader.ts';

/** A data migration as loaded from its file. */
export type DataMigration = Extract<LoadedMigration, { kind: 'data' }>;

/** The pair of functions that one direction of a data migration runs. */
export type Step = Pick<DataMigration, 'select' | 'update' | 'setBased'>;

/** The functions of a direction; refuses `down` where the file has none. */
export function stepOf(migration: DataMigration, direction: Direction): Step {
  if (direction === 'up') return migration;
  if (migration.down === null) {
    throw fail('NO_DOWN', {
      message: `${migration.name} has no down`,
      detail: 'nothing was changed',
      hint: 'export const down = { select, update } in the migration file',
    });
  }
  return migration.down;
}
