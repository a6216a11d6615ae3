import { fail } from '../../errors.ts';
import type { WayBack } from '../../ledger/run/restoration.ts';
import type { Direction, Run } from '../../ledger/run/rows.ts';
import { setBased } from '../../migration/contract/set-based.ts';
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

/**
 * A migration whose way back restores stored values: it goes over their table, and its chunks know what to do with them
 * (`run/chunk/migrate-images`). What its file says of the other table does not hold for it, and it needs no arguments.
 */
export function restoring(migration: DataMigration, { schema, name }: WayBack['images']): DataMigration {
  const { chunkSize, targetMs } = migration.options;
  const options = {
    ...(chunkSize === undefined ? {} : { chunkSize }),
    ...(targetMs === undefined ? {} : { targetMs }),
  };
  const down = {
    select: (db: Parameters<DataMigration['select']>[0]) => db(name).withSchema(schema),
    update: setBased(() => undefined),
    setBased: true,
  };
  return { ...migration, options, down, declared: [] };
}

/** A migration as a run of it works. */
export function migrationOf(migration: DataMigration, { plan }: Pick<Run, 'plan'>): DataMigration {
  return plan.images === undefined ? migration : restoring(migration, plan.images.images);
}
