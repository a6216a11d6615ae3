import { endAfter } from '../core/places.ts';
import type { Owned } from '../ledger/chunks.ts';
import type { Key, RunPlan } from '../ledger/rows.ts';
import { keyAtOffset } from '../migration/key-queries.ts';
import { inSpace } from '../migration/key.ts';
import type { Session } from '../postgres/session.ts';
import { milestone } from './milestones.ts';

/** What is left of a range. */
export type RangeLeft = Pick<Owned, 'space' | 'after' | 'hi'>;

/** Where a chunk ends at the latest, however few of its rows match. */
export interface Farthest {
  readonly upTo: Key;
  /** That is where its range ends. */
  readonly isLast: boolean;
}

/**
 * The `keys`-th key of a range, found on the key's index alone, without the author's conditions; the range's end
 * where it has fewer, or where `keys` is null. Of blocks, as many as hold about so many rows. `isRough`: about so
 * many keys will do.
 */
export async function farthest(
  session: Session,
  plan: RunPlan,
  { space, after, hi }: RangeLeft,
  keys: number | null,
  isRough = false,
): Promise<Farthest> {
  const { base, rowsPerBlock = 1 } = plan;
  if (keys === null) return { upTo: hi, isLast: true };
  if (space === 'keys') {
    const stone = isRough ? await milestone(session, plan, { from: after, to: hi, keys }) : null;
    if (stone !== null) return stone === 'last' ? { upTo: hi, isLast: true } : { upTo: stone, isLast: false };
    const key = await keyAt(session, base, after, hi, keys);
    return { upTo: key ?? hi, isLast: key === null };
  }
  const [last = ''] = hi;
  const end = endAfter(after?.[0] ?? null, keys / rowsPerBlock, last);
  // A part of a block, where a failing chunk is tried with fewer rows.
  const isPart = keys === 1 || keys < rowsPerBlock;
  const inside = isPart ? await keyAt(session, inSpace(base, space), after, [end], keys) : null;
  return { upTo: inside ?? [end], isLast: inside === null && end === last };
}

async function keyAt(
  session: Session,
  base: RunPlan['base'],
  after: Key | null,
  upTo: Key,
  keys: number,
): Promise<Key | null> {
  const probe = keyAtOffset(base, after, upTo, keys - 1);
  return ((await session.query(probe.text, probe.values)).rows[0]?.['key'] as Key | undefined) ?? null;
}
