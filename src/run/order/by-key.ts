import { keysBetween, stepOf } from '../../core/size/survey.ts';
import { boundsFrom } from '../../ledger/run/chunks.ts';
import type { RunPlan } from '../../ledger/run/rows.ts';
import { pickKeys } from '../../migration/chunk/queries.ts';
import type { Key } from '../../migration/key/key.ts';
import { countUpTo, keyAtOffset, nthOfKeys, upperKey } from '../../migration/key/queries.ts';
import type { Session } from '../../postgres/session.ts';
import { type RangeLeft, type WalkingOrder, oneKey } from './order.ts';

/** By the key: a range is one of keys, `(after, upTo]`. */
export const byKey: WalkingOrder = {
  keepsUpdated: true,

  ordered: (base) => base,

  async chunkEnd(session, plan, range, { keys, isRough = false }) {
    const { after, hi } = range;
    const sampled = isRough ? await sampleKey(session, plan, range, keys) : null;
    if (sampled === 'last') return { upTo: hi, isLast: true };
    const key = sampled ?? (await oneKey(session, keyAtOffset(plan.base, after, hi, keys - 1)));
    return { upTo: key ?? hi, isLast: key === null };
  },

  endOfMoved: () => null,

  passed({ base, survey }, { at, left }, done) {
    const passed = done.passed ?? done.rows;
    if (survey === undefined) return { passed, bounds: null };
    const { first, keys } = keysBetween(survey, at, at + left);
    if (keys.length === 0) return { passed, bounds: null };
    const step = stepOf(survey);
    const count = countUpTo(base, keys, done.to, boundsFrom);
    return { passed, bounds: { count, step, offset: at - first * step } };
  },

  async cut(session, { base, survey }, { cursor, lo, hi, at, estimated }, leastKept) {
    const from = cursor ?? lo;
    const kept = Math.max(Math.floor(estimated / 2), Math.ceil(leastKept));
    if (survey !== undefined && kept >= leastStepsOfCut * stepOf(survey)) {
      const { first, keys } = keysBetween(survey, at + kept, at + estimated);
      const nth = nthOfKeys(base, keys, { after: from, upTo: hi }, 1);
      const [row] = (await session.query(nth.text, nth.values)).rows;
      const position = (first + Number(row?.['no'])) * stepOf(survey);
      if (row !== undefined) return { at: row['key'] as Key, kept: Math.max(position - at, 0) };
    }
    const counted = Math.min(kept, longestProbe);
    return { at: await oneKey(session, keyAtOffset(base, from, hi, counted)), kept: counted };
  },

  async nextRow(session, { shape, plan: { base }, left: { after, hi }, isSetBased }) {
    const next = isSetBased
      ? upperKey(base, after, hi, 1)
      : pickKeys(shape, base, { after, upTo: hi, limit: 1 });
    const key = await oneKey(session, next);
    return key === null ? null : { key, place: key };
  },

  latest: (key, hi) => key ?? hi,
};

// Bounds the index entries read under the victim's lock: 50,000 are read in 5 to 20 ms.
const longestProbe = 50_000;

// From one key of the survey to the next it cannot tell.
const leastStepsOfCut = 4;

// A chunk of as many steps from one key of the survey to the next has a size that is a fifth off, as a rule.
const leastStepsOfChunk = 2;

/**
 * The key of the survey about `keys` rows behind the cursor; 'last' where the range has fewer. Null where rows lie in
 * the order of their keys: counting them on the index costs little there. Otherwise it visits the page of every row, as
 * soon as some rows of each page are changed: 1,000,000 rows by random uuids in chunks of 10,000 took 5.9 s of the
 * server's CPU time with that, 4.5 s without.
 */
async function sampleKey(
  session: Session,
  { base, survey }: RunPlan,
  { after, hi, at, left }: RangeLeft,
  keys: number,
): Promise<Key | 'last' | null> {
  if (survey?.isShuffled !== true || at === undefined || left === undefined) return null;
  const step = stepOf(survey);
  if (keys < leastStepsOfChunk * step) return null;
  const listed = keysBetween(survey, at, at + left).keys;
  const nth = nthOfKeys(base, listed, { after, upTo: hi }, Math.round(keys / step));
  return (await oneKey(session, nth)) ?? 'last';
}
