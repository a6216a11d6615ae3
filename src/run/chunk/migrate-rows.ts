import { quote } from '../../core/values/quote.ts';
import type { ChunkContext } from '../../migration/contract/contract.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import { inOrder } from '../../postgres/transaction.ts';
import { type Batch, readBatch, refuseDuplicates } from './batch.ts';
import { type ChunkCall, type Migrated, callUpdate, refuseInserted } from './call-update.ts';
import type { ChunkEnd } from '../order/order.ts';
import { chunkEnd, orderOf } from '../order/orders.ts';
import { countKept, refuseMovedKeys, type WriteCounters, readWriteCounters } from './write-counters.ts';
import { OwnTable } from './own-table.ts';
import { refuseStillMatching } from './still-matches.ts';

/** Reads and locks the next rows, and hands them to `update`. */
export async function migrateRows(call: ChunkCall): Promise<Migrated> {
  const { guard, taken, work } = call;
  const { end, before, batch } = await readRows(call);
  refuseDuplicates(batch.keys, work.migration.name);
  // From here on the list is the author's, who may empty it.
  const rows = batch.rows.length;
  const changed = rows === 0 ? 0 : await updateRows(call, batch);
  const { to, isFull, isCut } = batch;
  const isToEnd = !isFull && !isCut;
  return {
    rows,
    to,
    last: isToEnd && end.isLast,
    isFull,
    isCut,
    passed: isToEnd && !end.isLast ? taken.limits.keys : null,
    check: rows === 0 ? null : (counters) => checkRows(call, batch, before, counters),
    written: guard.written(),
    changed,
  };
}

interface RowsRead {
  readonly end: ChunkEnd;
  readonly batch: Batch;
  readonly before: WriteCounters;
}

async function readRows({ session, work, guard, taken, shape, isGathered }: ChunkCall): Promise<RowsRead> {
  const { owned, limits } = taken;
  const { base, sizes = [] } = work.run.plan;
  const bound = sizes.length === 0 ? null : { sizes, maxBytes: work.env.tuning.maxBytes };
  const end = await chunkEnd(session, work.run.plan, owned, { keys: limits.keys });
  const range = { after: owned.after, upTo: end.upTo, limit: limits.rows, isGathered };
  // In the order in which they are sent: what the first runs into (a deadlock, a lock timeout) is to be judged.
  const [batch, before] = await inOrder([
    readBatch(session, guard, { shape, base, order: orderOf(owned), range, bound, shown: work.shown }),
    readWriteCounters(session, base),
  ]);
  return { end, before, batch };
}

async function updateRows(call: ChunkCall, { rows, keys }: Batch): Promise<number> {
  const { session, work, guard, taken, shape } = call;
  const { base, sweeps } = work.run.plan;
  const update = work.step.update as (db: unknown, rows: object[], context: ChunkContext) => unknown;
  const single = rows.length === 1 ? (keys.at(0) ?? null) : null;
  const found = (): Promise<unknown> => taken.found(rows.length, single);
  const changed = await callUpdate(call, new OwnTable(session, work, shape, keys), found, () =>
    update(guard.db, rows, taken.context),
  );
  if (sweeps === true) {
    await refuseStillMatching(session, work.migration.name, { shape, base }, { locked: keys });
  }
  return changed;
}

async function checkRows(
  { session, work, guard, shape }: ChunkCall,
  { keys }: Batch,
  before: WriteCounters,
  counters: Promise<WriteCounters>,
): Promise<void> {
  const { migration, run } = work;
  if (migration.options.allowDelete !== true) {
    const { base } = run.plan;
    const locked = { keys, names: namesOf(shape, base), before };
    const kept = await countKept(session, base, locked, { written: guard.written(), counters });
    refuseMovedKeys(migration.name, keys.length - kept);
  }
  await refuseInserted(new OwnTable(session, work, shape, keys), before, counters);
}

/** How statements of the chunk name the base table for certain, quoted. */
function namesOf({ table }: SelectShape, base: BaseTable): readonly string[] {
  const qualified = `${quote(base.schema)}.${quote(base.name)}`;
  return table.schema === null ? [qualified, quote(base.name)] : [qualified];
}
