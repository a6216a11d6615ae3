import type { GuardedDatabase } from '../../migration/handle/guard.ts';
import { isSweep } from '../../core/size/sweep.ts';
import type { Session } from '../../postgres/session.ts';
import type { ChunkLimits } from '../../core/size/chunk-limits.ts';
import type { RowBound } from '../../migration/chunk/row-sizes.ts';
import { selectOfChunk } from '../analyze/author-select.ts';
import { weighedBy } from '../analyze/weight.ts';
import { type ChunkWork, isUnread } from '../context/chunk-work.ts';
import { connectionsBeside } from '../context/foreign-connections.ts';
import type { ChunkCall, Migrated, Taken } from './call-update.ts';
import { migrateImages } from './migrate-images.ts';
import { migrateRows } from './migrate-rows.ts';
import { migrateSet } from './migrate-set.ts';

/**
 * Has `update` migrate the next rows, row by row or as a set. In an open transaction under the author's search path;
 * neither its start nor its end is done here, so that a sample can do the same and roll it back.
 */
export async function migrate(
  session: Session,
  work: ChunkWork,
  guard: GuardedDatabase,
  taken: Taken,
): Promise<Migrated> {
  const { migration, run } = work;
  if (run.plan.images !== undefined) return await migrateImages(session, work, run.plan.images, taken);
  const call: ChunkCall = {
    session,
    work,
    guard,
    taken,
    shape: selectOfChunk(work, guard.builder),
    expect: {
      what: run.direction === 'up' ? 'update' : 'down.update',
      allowNoQueries: migration.options.allowNoQueries ?? false,
      hasOwnConnection: () => connectionsBeside(session) > 0,
    },
    bound: boundOf(work, guard, taken.limits),
    isGathered: isSweep(run) && taken.limits.keys === null,
  };
  return await (isUnread(work) ? migrateSet(call) : migrateRows(call));
}

/** How far a chunk goes by the size and the weight of its rows; null where neither is measured. */
export function boundOf(
  { env, migration, run, step }: ChunkWork,
  { builder }: GuardedDatabase,
  { weight: most }: Pick<ChunkLimits, 'weight'>,
): RowBound | null {
  const { sizes = [], weight: kind } = run.plan;
  const by = most === undefined ? null : weighedBy(migration, kind, builder);
  const weight = by === null || most === undefined ? null : { by, most };
  // Of a set-based chunk no row is read, so that none is too large.
  return weight === null && (sizes.length === 0 || step.setBased)
    ? null
    : { sizes, maxBytes: env.tuning.maxBytes, weight };
}
