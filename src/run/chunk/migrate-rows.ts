import type { RowsToKeep } from '../../migration/chunk/images.ts';
import { withoutColumns } from '../../migration/chunk/queries.ts';
import { setBasedChunk } from '../../migration/chunk/set-chunk.ts';
import { oneOf } from '../../migration/key/sql.ts';
import { inOrder } from '../../postgres/transaction.ts';
import { type Batch, readBatch, refuseDuplicates } from './batch.ts';
import { type ChunkCall, type Migrated, callUpdate, refuseInserted } from './call-update.ts';
import type { ChunkEnd } from '../order/order.ts';
import { chunkEnd, orderOf } from '../order/orders.ts';
import { countKept, refuseMovedKeys, type WriteCounters, readWriteCounters } from './write-counters.ts';
import { keepImages, namesOf } from '../images/keep-images.ts';
import { OwnTable } from './own-table.ts';
import { refuseStillMatching } from './still-matches.ts';

/** Reads and locks the next rows, and hands them to `update`; a set-based one gets the query for them. */
export async function migrateRows(call: ChunkCall): Promise<Migrated> {
  const { guard, taken, work } = call;
  const { end, before, batch } = await readRows(call);
  refuseDuplicates(batch.keys, work.migration.name);
  // From here on the list is the author's, who may empty it.
  const rows = batch.rows.length;
  const { base } = work.run.plan;
  const kept = (): RowsToKeep => ({ rows: oneOf('t', base.key, batch.keys, 1), lock: null });
  const images = rows === 0 ? null : keepImages(call, kept, before);
  const changed = rows === 0 ? 0 : await updateRows(call, batch);
  const { to, isFull, isCut, weight } = batch;
  const isToEnd = !isFull && !isCut;
  const passed = work.run.plan.base.isGrouped === true ? weight : null;
  return {
    rows,
    weight,
    to,
    last: isToEnd && end.isLast,
    isFull,
    isCut,
    passed: isToEnd && !end.isLast ? taken.limits.keys : passed,
    check:
      rows === 0
        ? null
        : async (counters) => {
            await checkRows(call, batch, before, counters);
            await images?.finish(counters);
          },
    before,
    written: guard.written(),
    covered: images?.covered ?? [],
    changed,
  };
}

interface RowsRead {
  readonly end: ChunkEnd;
  readonly batch: Batch;
  readonly before: WriteCounters;
}

async function readRows(call: ChunkCall): Promise<RowsRead> {
  const { session, work, guard, taken, shape, bound, isGathered } = call;
  const { owned, limits } = taken;
  const { base } = work.run.plan;
  const end = await chunkEnd(session, work.run.plan, owned, { keys: limits.keys });
  const range = { after: owned.after, upTo: end.upTo, limit: limits.rows, isGathered };
  const read = work.step.setBased ? withoutColumns(shape) : shape;
  // In the order in which they are sent: what the first runs into (a deadlock, a lock timeout) is to be judged.
  const [batch, before] = await inOrder([
    readBatch(session, guard, { shape: read, base, order: orderOf(owned), range, bound, shown: work.shown }),
    readWriteCounters(session, base),
  ]);
  return { end, before, batch };
}

async function updateRows(call: ChunkCall, { rows, keys }: Batch): Promise<number> {
  const { session, work, guard, taken, shape } = call;
  const { base, sweeps } = work.run.plan;
  const update = work.step.update as (...given: unknown[]) => unknown;
  const given = work.step.setBased ? [setBasedChunk(shape, base, keys), guard.db] : [guard.db, rows];
  const single = rows.length === 1 ? (keys.at(0) ?? null) : null;
  const found = (): Promise<unknown> => taken.found(rows.length, single);
  const changed = await callUpdate(call, new OwnTable(session, work, shape, keys), found, () =>
    update(...given, taken.context),
  );
  if (sweeps === true) {
    await refuseStillMatching(session, work.migration.name, { shape, base }, { locked: keys });
  }
  return changed;
}

async function checkRows(
  { session, work, guard, shape }: ChunkCall,
  { keys, weight }: Batch,
  before: WriteCounters,
  counters: Promise<WriteCounters>,
): Promise<void> {
  const { migration, run } = work;
  if (migration.options.allowDelete !== true) {
    const { base } = run.plan;
    const rows = base.isGrouped === true ? weight : keys.length;
    const locked = { keys, rows, names: namesOf(shape, base), before };
    const kept = await countKept(session, base, locked, { written: guard.written(), counters });
    refuseMovedKeys(migration.name, rows - kept, base);
  }
  await refuseInserted(new OwnTable(session, work, shape, keys), before, counters);
}
