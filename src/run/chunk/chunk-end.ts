import { endAfter } from '../../core/size/places.ts';
import { keysBetween, stepOf } from '../../core/size/survey.ts';
import type { Owned } from '../../ledger/run/chunks.ts';
import type { RunPlan } from '../../ledger/run/rows.ts';
import { keyAtOffset, nthOfKeys } from '../../migration/key/queries.ts';
import { inSpace, type Key } from '../../migration/key/key.ts';
import type { KeyRange } from '../../migration/key/sql.ts';
import type { Session } from '../../postgres/session.ts';

/** What is left of a range. */
export type RangeLeft = Pick<Owned, 'space' | 'after' | 'hi'> & Partial<Pick<Owned, 'at' | 'left'>>;

/** Where a chunk ends at the latest, however few of its rows match. */
export interface ChunkEnd {
  readonly upTo: Key;
  /** That is where its range ends. */
  readonly isLast: boolean;
}

/** How far a chunk may go. */
export interface Reach {
  /** Null: to the end of its range. */
  readonly keys: number | null;
  /** About so many keys will do. */
  readonly isRough?: boolean | undefined;
}

/**
 * The `keys`-th key of a range, found on the key's index alone, without the author's conditions; the range's end
 * where it has fewer, or where `keys` is null. Of blocks, as many as hold about so many rows.
 */
export async function chunkEnd(
  session: Session,
  plan: RunPlan,
  range: RangeLeft,
  { keys, isRough = false }: Reach,
): Promise<ChunkEnd> {
  const { base, rowsPerBlock = 1 } = plan;
  const { space, after, hi } = range;
  if (keys === null) return { upTo: hi, isLast: true };
  if (space === 'keys') {
    const stone = isRough ? await milestone(session, plan, range, keys) : null;
    if (stone !== null) return stone === 'last' ? { upTo: hi, isLast: true } : { upTo: stone, isLast: false };
    const key = await keyAt(session, base, { after, upTo: hi }, keys);
    return { upTo: key ?? hi, isLast: key === null };
  }
  const [last = ''] = hi;
  const end = endAfter(after?.[0] ?? null, keys / rowsPerBlock, last);
  // A part of a block, where a failing chunk is tried with fewer rows.
  const isPart = keys === 1 || keys < rowsPerBlock;
  const inside = isPart ? await keyAt(session, inSpace(base, space), { after, upTo: [end] }, keys) : null;
  return { upTo: inside ?? [end], isLast: inside === null && end === last };
}

// A chunk of as many steps from one key of the survey to the next has a size that is a fifth off, as a rule.
const leastSteps = 2;

/**
 * The key of the survey about `keys` rows behind the cursor; 'last' where the range has fewer. Null where rows lie in
 * the order of their keys: counting them on the index costs little there. Otherwise it visits the page of every row, as
 * soon as some rows of each page are changed: 1,000,000 rows by random uuids in chunks of 10,000 took 5.9 s of the
 * server's CPU time with that, 4.5 s without.
 */
async function milestone(
  session: Session,
  { base, survey }: RunPlan,
  { after, hi, at, left }: RangeLeft,
  keys: number,
): Promise<Key | 'last' | null> {
  if (survey?.isShuffled !== true || at === undefined || left === undefined) return null;
  const step = stepOf(survey);
  if (keys < leastSteps * step) return null;
  const listed = keysBetween(survey, at, at + left).keys;
  const { text, values } = nthOfKeys(base, listed, { after, upTo: hi }, Math.round(keys / step));
  return ((await session.query(text, values)).rows[0]?.['key'] as Key | undefined) ?? 'last';
}

async function keyAt(
  session: Session,
  base: RunPlan['base'],
  { after, upTo }: KeyRange,
  keys: number,
): Promise<Key | null> {
  const probe = keyAtOffset(base, after, upTo, keys - 1);
  return ((await session.query(probe.text, probe.values)).rows[0]?.['key'] as Key | undefined) ?? null;
}
