import type { Key } from '../../migration/key/key.ts';
import { endOfBlock } from '../../core/size/places.ts';
import { fewRows, isSparse, stepOf } from '../../core/size/survey.ts';
import type { Layout } from '../../ledger/run/ranges.ts';
import type { RunPlan } from '../../ledger/run/rows.ts';
import { countUpTo, maxKey } from '../../migration/key/queries.ts';
import type { Session } from '../../postgres/session.ts';

// Enough ranges to keep every core busy without stealing, few enough to keep the ledger tiny.
const rangesPerCore = 8;

// Where nothing is known, a range may hold this many, so that it is worth stealing from.
const unknownRows = 1e9;

/**
 * Lays out the key space up to the largest key, by the keys of the survey, for so many cores; one range where a few
 * chunks are enough, or `cores` is 0.
 */
export async function makeLayout(session: Session, plan: RunPlan, cores: number): Promise<Layout> {
  const { base, survey } = plan;
  const max = maxKey(base);
  const stopKey = ((await session.query(max.text, max.values)).rows[0]?.['key'] as Key | undefined) ?? null;
  const space = 'keys';
  if (stopKey === null) return { space, stopKey, bounds: [], ends: [] };
  // Laying a few chunks out would cost more than it brings. Where few rows match, each range would have to be
  // searched, and with random keys each search reads the whole table.
  if (cores === 0 || survey === undefined || survey.rows < fewRows || isSparse(survey)) {
    return { space, stopKey, bounds: [stopKey], ends: [survey?.rows ?? unknownRows] };
  }
  const { keys, rows } = survey;
  const count = Math.min(rangesPerCore * cores, keys.length);
  const places = Array.from({ length: count - 1 }, (_, index) =>
    Math.round((keys.length * (index + 1)) / count),
  );
  const inner = places.map((place) => keys[place - 1] ?? stopKey);
  // Rows may have gone since it was drawn.
  const below = countUpTo(base, inner, stopKey, 1);
  const { rows: counted } = await session.query(`select ${below.text} as count`, below.values);
  const bounds = inner
    .slice(0, Number(counted[0]?.['count']))
    .filter((key) => JSON.stringify(key) !== JSON.stringify(stopKey));
  const ends = places.slice(0, bounds.length).map((place) => place * stepOf(survey));
  return { space, stopKey, bounds: [...bounds, stopKey], ends: [...ends, rows] };
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
  const lasts = Array.from({ length: count }, (_, index) => Math.floor((blocks * (index + 1)) / count));
  const bounds = lasts.map((last) => [endOfBlock(last - 1)]);
  const ends = lasts.map((last) => last * (plan.rowsPerBlock ?? 1));
  return { space: 'blocks', stopKey: bounds.at(-1) ?? null, bounds, ends };
}
