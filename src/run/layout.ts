import { fewRows } from '../core/density.ts';
import { endOfBlock } from '../core/places.ts';
import type { Key, RunPlan } from '../ledger/rows.ts';
import { layoutBounds, maxKey } from '../migration/key-queries.ts';
import type { Layout } from '../ledger/ranges.ts';
import type { Session } from '../postgres/session.ts';

// Enough ranges to keep every core busy without stealing, few enough to keep the ledger tiny.
const rangesPerCore = 8;

// Where the planner has no count, a range may hold this many, so that it is worth stealing from.
const unknownRows = 1e9;

/** Lays out the key space up to the largest key, by the planner's histogram; one range without one. */
export async function makeLayout(session: Session, plan: RunPlan, cores: number): Promise<Layout> {
  const { base } = plan;
  const max = maxKey(base);
  const stopKey = ((await session.query(max.text, max.values)).rows[0]?.['key'] as Key | undefined) ?? null;
  const space = 'keys';
  if (stopKey === null) return { space, stopKey, bounds: [], estimatedEach: 0 };
  const rows = base.estimatedRows;
  // Laying a few chunks out would cost more than it brings. Where few rows match, each range would have to be
  // searched, and with random keys each search reads the whole table.
  if (plan.isSparse === true || (rows >= 0 && rows < fewRows)) {
    return { space, stopKey, bounds: [stopKey], estimatedEach: Math.max(rows, 1) };
  }
  const probe = layoutBounds(base, stopKey, rangesPerCore * cores - 1);
  const inner = (await session.query(probe.text, probe.values)).rows.map((row) => row['key'] as Key);
  const bounds = [...inner, stopKey];
  return { space, stopKey, bounds, estimatedEach: rows > 0 ? rows / bounds.length : unknownRows };
}

// A range of fewer blocks is not worth a claim.
const leastBlocks = 64;

/** Lays out the blocks that the table has now, in about equal ranges. */
export async function blockLayout(session: Session, plan: RunPlan, cores: number): Promise<Layout> {
  const { rows } = await session.query(
    `select (pg_catalog.pg_relation_size($1::oid) / pg_catalog.current_setting('block_size')::pg_catalog.int8)
       as blocks`,
    [plan.base.oid],
  );
  const blocks = Number(rows[0]?.['blocks']);
  const count = Math.min(rangesPerCore * cores, Math.ceil(blocks / leastBlocks));
  const bounds = Array.from({ length: count }, (_, index) => [
    endOfBlock(Math.floor((blocks * (index + 1)) / count) - 1),
  ]);
  const estimatedEach = count === 0 ? 0 : (blocks * (plan.rowsPerBlock ?? 1)) / count;
  return { space: 'blocks', stopKey: bounds.at(-1) ?? null, bounds, estimatedEach };
}
