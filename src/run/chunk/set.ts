import type { Key, RunPlan } from '../../ledger/run/rows.ts';
import type { ChunkLimits } from '../../core/size/chunk-limits.ts';
import { pickKeys } from '../../migration/chunk/queries.ts';
import { nthRow } from '../../migration/chunk/nth-row.ts';
import type { GuardedDatabase } from '../../migration/handle/guard.ts';
import { inSpace } from '../../migration/key/key.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import { setBasedChunk } from '../../migration/chunk/set-chunk.ts';
import type { Session } from '../../postgres/session.ts';
import { inOrder } from '../../postgres/transaction.ts';
import { type ChunkEnd, type RangeLeft, chunkEnd } from './chunk-end.ts';
import type { ChunkResult } from './chunk-result.ts';
import { SetKeys, type SetRules } from './set-keys.ts';
import { type WriteCounters, readWriteCounters } from './write-counters.ts';

/** Where a set-based chunk ends, the most rows that it can have, and the key of a single one. */
export interface SetEnd {
  readonly upTo: Key;
  readonly rows: number;
  readonly key: Key | null;
}

/** What `update` is called with: what becomes of the chunk's rows, and the counters before it. */
export interface SetCall {
  readonly end: SetEnd;
  readonly keys: SetKeys;
  readonly before: WriteCounters;
}

/** Whose chunks they are. */
export interface SetWork {
  readonly shape: SelectShape;
  readonly plan: RunPlan;
  readonly guard: GuardedDatabase;
  readonly rules: SetRules;
}

/** Finds where a set-based chunk ends, and has `update` write the rows up to there without reading them. */
export async function updateSet(
  session: Session,
  { shape, plan, guard, rules }: SetWork,
  { limits, isGathered, ...left }: RangeLeft & { readonly limits: ChunkLimits; readonly isGathered: boolean },
  call: (chunk: object, on: SetCall) => Promise<unknown>,
): Promise<ChunkResult> {
  const { base } = plan;
  const [{ upTo, isLast, isEmpty = false }, before] = await inOrder([
    upperBound(session, shape, plan, left, { ...limits, isGathered }),
    readWriteCounters(session, base),
  ]);
  const most = limits.keys ?? limits.rows;
  const nothing = { to: upTo, last: isLast, isFull: false, isCut: false, passed: null };
  if (isEmpty || (most === 1 && isLast && left.space === 'keys')) return { ...nothing, rows: 0 };
  const range = { after: left.after, upTo };
  const keys = new SetKeys(session, guard, { shape, base, space: left.space, range }, rules, before);
  const chunk = setBasedChunk(shape, inSpace(base, left.space), range, base);
  const isSingle = most === 1 && left.space === 'keys';
  const end = { upTo, rows: most, key: isSingle ? upTo : null };
  await call(chunk, { end, keys, before });
  const isFull = !isLast && limits.keys === null;
  return { ...nothing, rows: await keys.count(), isFull, passed: isLast ? null : limits.keys };
}

/**
 * Where a set-based chunk ends: at the last of so many keys, or of so many that match. `isEmpty`: none of it is known
 * to match, so there is no need for an update that looks for them once more.
 */
async function upperBound(
  session: Session,
  shape: SelectShape,
  plan: RunPlan,
  left: RangeLeft,
  { rows, keys, isRough, isGathered }: ChunkLimits & { readonly isGathered: boolean },
): Promise<ChunkEnd & { readonly isEmpty?: boolean }> {
  if (keys !== null || left.space === 'blocks') {
    return await chunkEnd(session, plan, left, keys ?? rows, isRough);
  }
  const range = { after: left.after, upTo: left.hi, limit: rows, isGathered };
  const { text, values } = isGathered ? pickKeys(shape, plan.base, range) : nthRow(shape, plan.base, range);
  const found = (await session.query(text, values)).rows;
  const nth = found[isGathered ? rows - 1 : 0]?.['key'] as Key | undefined;
  return { upTo: nth ?? left.hi, isLast: nth === undefined, isEmpty: isGathered && found.length === 0 };
}
