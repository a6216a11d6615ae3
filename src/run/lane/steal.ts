import type { Key } from '../../migration/key/key.ts';
import { codeOf } from '../../errors.ts';
import { middlePlace } from '../../core/size/places.ts';
import { worthStealing } from '../../core/size/chunk-limits.ts';
import { keysBetween, stepOf } from '../../core/size/survey.ts';
import type { Range, Run, RunPlan } from '../../ledger/run/rows.ts';
import { keyAtOffset, nthOfKeys } from '../../migration/key/queries.ts';
import type { Session } from '../../postgres/session.ts';
import { withTransaction } from '../../postgres/transaction.ts';
import type { RunEnvironment } from '../context/environment.ts';

const waitedInVain = new Set(['55P03', '57014']);

// Bounds the index entries read under the victim's lock: 50,000 are read in 5 to 20 ms.
const longestProbe = 50_000;

// From one key of the survey to the next it cannot tell.
const leastSteps = 4;

/** Who steals: the keys that its chunk passes, and those that it passes at least when a run ends. */
export interface Thief {
  readonly worker: string;
  readonly keysEach: number;
  readonly leastKeys: number;
}

/**
 * Takes the far part of the range with the most left; false where none is worth it. The owner keeps a few chunks
 * after its cursor, so both parts are strictly smaller and neither is empty.
 */
export async function steal(
  session: Session,
  env: RunEnvironment,
  run: Run,
  { worker, keysEach, leastKeys }: Thief,
): Promise<boolean> {
  const { ranges } = env.ledger(session);
  const attempt = withTransaction(session, env.pinned, async () => {
    const least = worthStealing(keysEach, leastKeys);
    const victim = await ranges.lockLargest(run.id, least);
    if (victim === null) return false;
    const { at, kept } = await cut(session, run.plan, victim, least / 2);
    const isSmaller = at !== null && JSON.stringify(at) !== JSON.stringify(victim.hi);
    if (!isSmaller) {
      await ranges.markSmall(run.id, victim.no, least / 2);
      return true;
    }
    const estimates = { kept, taken: Math.max(victim.estimated - kept, 0) };
    await ranges.split(run.id, victim, { at, ...estimates }, worker);
    return true;
  });
  return await attempt.catch((error: unknown) => {
    // Its owner is in a long chunk: that is no failure, only nothing to steal yet.
    if (waitedInVain.has(codeOf(error) ?? '')) return false;
    throw error;
  });
}

/** Where a range is cut, and the keys that its owner keeps by the estimate; null: nowhere. */
async function cut(
  session: Session,
  { base, survey }: RunPlan,
  { space, cursor, lo, hi, at, estimated }: Range & { readonly at: number; readonly estimated: number },
  leastKept: number,
): Promise<{ readonly at: Key | null; readonly kept: number }> {
  const half = Math.floor(estimated / 2);
  const from = cursor ?? lo;
  if (space === 'blocks') {
    const place = middlePlace(from?.[0] ?? null, hi[0] ?? '');
    return { at: place === null ? null : [place], kept: half };
  }
  const kept = Math.max(half, Math.ceil(leastKept));
  if (survey !== undefined && kept >= leastSteps * stepOf(survey)) {
    const { first, keys } = keysBetween(survey, at + kept, at + estimated);
    const nth = nthOfKeys(base, keys, { after: from, upTo: hi }, 1);
    const [row] = (await session.query(nth.text, nth.values)).rows;
    const position = (first + Number(row?.['no'])) * stepOf(survey);
    if (row !== undefined) return { at: row['key'] as Key, kept: Math.max(position - at, 0) };
  }
  const counted = Math.min(kept, longestProbe);
  const probe = keyAtOffset(base, from, hi, counted);
  const [row] = (await session.query(probe.text, probe.values)).rows;
  return { at: (row?.['key'] as Key | undefined) ?? null, kept: counted };
}
