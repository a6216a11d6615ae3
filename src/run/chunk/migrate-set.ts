import { nthRow, pickKeys } from '../../migration/chunk/queries.ts';
import { selectedRows } from '../../migration/chunk/images.ts';
import { setBasedChunk } from '../../migration/chunk/set-chunk.ts';
import type { RowBound } from '../../migration/chunk/row-sizes.ts';
import type { ChunkContext } from '../../migration/contract/contract.ts';
import type { Key, Position } from '../../migration/key/key.ts';
import { inOrder } from '../../postgres/transaction.ts';
import { pick } from './batch.ts';
import { type ChunkCall, type Migrated, callUpdate, refuseInserted } from './call-update.ts';
import type { ChunkEnd } from '../order/order.ts';
import { chunkEnd, orderOf } from '../order/orders.ts';
import { keepImages } from '../images/keep-images.ts';
import { OwnTable } from './own-table.ts';
import { SetKeys } from './set-keys.ts';
import { setDrainCheck } from './still-matches.ts';
import { type WriteCounters, readWriteCounters } from './write-counters.ts';

type SetUpdate = (chunk: unknown, db: unknown, context: ChunkContext) => unknown;

/** Finds where a set-based chunk ends, and has `update` write the rows up to there without reading them. */
export async function migrateSet(call: ChunkCall): Promise<Migrated> {
  const { session, work, guard, taken } = call;
  const { rows, keys } = taken.limits;
  const [reached, before] = await inOrder([
    call.bound === null ? upperBound(call) : boundEnd(call, call.bound),
    readWriteCounters(session, work.run.plan.base),
  ]);
  const { upTo, isLast, isEmpty = false, isFull = !isLast && keys === null, weight } = reached;
  const isSingle = (keys ?? rows) === 1 && orderOf(taken.owned).keepsUpdated;
  const end = { to: upTo, last: isLast, isFull: false, isCut: false, passed: null, before };
  if (isEmpty || (isSingle && isLast))
    return { ...end, rows: 0, weight: 0, changed: 0, check: null, covered: [], written: guard.written() };
  const updated = await updateSet(call, { upTo, isSingle, found: reached.found ?? keys ?? rows }, before);
  const passed = isLast || isFull ? null : keys;
  const weighed = { weight: weight ?? updated.rows, isCut: isFull && weight !== undefined };
  return { ...end, ...updated, ...weighed, isFull, passed, written: guard.written() };
}

async function updateSet(
  call: ChunkCall,
  end: { readonly upTo: Position; readonly isSingle: boolean; readonly found: number },
  before: WriteCounters,
): Promise<Pick<Migrated, 'rows' | 'changed' | 'check' | 'covered'>> {
  const { session, work, guard, taken, shape, expect } = call;
  const { migration, run, step } = work;
  const { owned } = taken;
  const { upTo, isSingle } = end;
  const order = orderOf(owned);
  const { after } = owned;
  const { base } = run.plan;
  const range = { after, upTo };
  const rules = {
    name: migration.name,
    what: expect.what,
    mayDelete: migration.options.allowDelete ?? false,
    mayOnlyRead: expect.allowNoQueries,
  };
  const keys = new SetKeys(session, guard, { shape, base, order, range, before }, rules);
  const chunk = setBasedChunk(shape, order.ordered(base), range, base);
  const drain =
    run.plan.sweeps === true ? setDrainCheck(session, migration.name, { shape, base }, owned) : null;
  await drain?.before(upTo);
  const images = keepImages(call, () => selectedRows(shape, base, order.ordered(base), range), before);
  const ownTable = new OwnTable(session, work, shape, { order, ...range });
  const found = (): Promise<unknown> => taken.found(end.found, isSingle ? upTo : null);
  const changed = await callUpdate(call, ownTable, found, () =>
    (step.update as SetUpdate)(chunk, guard.db, taken.context),
  );
  const rows = await keys.count();
  await drain?.after(upTo);
  const check = async (counters: Promise<WriteCounters>): Promise<void> => {
    await keys.refuseMoved(counters);
    await refuseInserted(ownTable, before, counters);
    await images?.finish(counters);
  };
  return { rows, changed, check, covered: images?.covered ?? [] };
}

interface SetEnd extends ChunkEnd {
  readonly isEmpty?: boolean;
  /** It ends at so many rows, or at what they weigh; unset: where it is not last, and has no number of keys. */
  readonly isFull?: boolean;
  /** Rows that match, and what they weigh; unset: not known. */
  readonly found?: number;
  readonly weight?: number;
}

/**
 * Where a set-based chunk ends: at the last of so many keys, or of so many that match. `isEmpty`: none of it is known
 * to match, so there is no need for an update that looks for them once more.
 */
async function upperBound({ session, work, taken, shape, isGathered }: ChunkCall): Promise<SetEnd> {
  const { plan } = work.run;
  const { limits, owned: left } = taken;
  const { rows, keys, isRough } = limits;
  if (keys !== null || !orderOf(left).keepsUpdated) {
    return await chunkEnd(session, plan, left, { keys: keys ?? rows, isRough });
  }
  const range = { after: left.after, upTo: left.hi, limit: rows, isGathered };
  const { text, values } = isGathered ? pickKeys(shape, plan.base, range) : nthRow(shape, plan.base, range);
  const found = (await session.query(text, values)).rows;
  const nth = found[isGathered ? rows - 1 : 0]?.['key'] as Key | undefined;
  return { upTo: nth ?? left.hi, isLast: nth === undefined, isEmpty: isGathered && found.length === 0 };
}

/** Where a set-based chunk ends whose rows are weighed. */
async function boundEnd(
  { session, work, taken, shape, isGathered }: ChunkCall,
  bound: RowBound,
): Promise<SetEnd> {
  const { base } = work.run.plan;
  const { limits, owned } = taken;
  const end = await chunkEnd(session, work.run.plan, owned, { keys: limits.keys });
  const range = { after: owned.after, upTo: end.upTo, limit: limits.rows, isGathered };
  const { picked, last, weight } = await pick(session, { shape, base, range, bound });
  const isLast = last && end.isLast;
  const upTo = last ? end.upTo : (picked.at(-1) ?? end.upTo);
  return { upTo, isLast, isEmpty: picked.length === 0, isFull: !last, found: picked.length, weight };
}
