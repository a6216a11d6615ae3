import { fewRows } from '../core/density.ts';
import type { Key, RunPlan } from '../ledger/rows.ts';
import { layoutBounds, maxKey } from '../migration/key-queries.ts';
import type { Session } from '../postgres/session.ts';

// Enough ranges to keep every core busy without stealing, few enough to keep the ledger tiny.
const rangesPerCore = 8;

// Where the planner has no count, a range may hold this many, so that it is worth stealing from.
const unknownRows = 1e9;

/** The largest key now, upper bounds of the first ranges, and the rows that each holds by the estimate. */
export interface Layout {
  readonly stopKey: Key | null;
  readonly bounds: readonly Key[];
  readonly estimatedEach: number;
}

/** Lays out the key space up to the largest key, by the planner's histogram; one range without one. */
export async function makeLayout(session: Session, plan: RunPlan, cores: number): Promise<Layout> {
  const { base } = plan;
  const max = maxKey(base);
  const stopKey = ((await session.query(max.text, max.values)).rows[0]?.['key'] as Key | undefined) ?? null;
  if (stopKey === null) return { stopKey, bounds: [], estimatedEach: 0 };
  const rows = base.estimatedRows;
  // Laying a few chunks out would cost more than it brings. Where few rows match, each range would have to be
  // searched, and with random keys each search reads the whole table.
  if (plan.isSparse === true || (rows >= 0 && rows < fewRows)) {
    return { stopKey, bounds: [stopKey], estimatedEach: Math.max(rows, 1) };
  }
  const probe = layoutBounds(base, stopKey, rangesPerCore * cores - 1);
  const inner = (await session.query(probe.text, probe.values)).rows.map((row) => row['key'] as Key);
  const bounds = [...inner, stopKey];
  return { stopKey, bounds, estimatedEach: rows > 0 ? rows / bounds.length : unknownRows };
}
