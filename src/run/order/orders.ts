import type { RunPlan } from '../../ledger/run/rows.ts';
import type { Space } from '../../migration/key/key.ts';
import type { Session } from '../../postgres/session.ts';
import { byKey } from './by-key.ts';
import { byPlace } from './by-place.ts';
import type { ChunkEnd, RangeLeft, Reach, WalkingOrder } from './order.ts';

const orders: Readonly<Record<Space, WalkingOrder>> = { keys: byKey, blocks: byPlace };

/** The order of a range, or of what is left of it. */
export function orderOf({ space }: { readonly space: Space }): WalkingOrder {
  return orders[space];
}

/**
 * Where a chunk ends that passes so many rows of the table, found without the author's conditions: on the key's index
 * alone, or by the number of blocks that hold about so many rows; the end of the range where it has fewer.
 */
export async function chunkEnd(
  session: Session,
  plan: RunPlan,
  range: RangeLeft,
  { keys, isRough }: Reach,
): Promise<ChunkEnd> {
  if (keys === null) return { upTo: range.hi, isLast: true };
  return await orderOf(range).chunkEnd(session, plan, range, { keys, isRough });
}
