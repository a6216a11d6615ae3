import type { GuardedDatabase } from '../../migration/handle/guard.ts';
import type { Session } from '../../postgres/session.ts';
import { selectOfChunk } from '../analyze/author-select.ts';
import type { ChunkWork } from '../context/chunk-work.ts';
import { connectionsBeside } from '../context/foreign-connections.ts';
import type { ChunkCall, Migrated, Taken } from './call-update.ts';
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
  const { migration, run, step } = work;
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
    isGathered: run.pass > 0 && taken.limits.keys === null,
  };
  return await (step.setBased ? migrateSet(call) : migrateRows(call));
}
