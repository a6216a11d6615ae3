import { type BaseTable, type Key, type Position, isKeyless } from '../../migration/key/key.ts';
import { endOfBlock } from '../../core/size/places.ts';
import { fewRows, isSparse, stepOf } from '../../core/size/survey.ts';
import type { Layout } from '../../ledger/run/ranges.ts';
import type { RunPlan } from '../../ledger/run/rows.ts';
import { countUpTo, lastPlace, maxKey } from '../../migration/key/queries.ts';
import type { Session } from '../../postgres/session.ts';
import { oneKey } from './order.ts';

// Enough ranges to keep every core busy without stealing, few enough to keep the ledger tiny.
const rangesPerCore = 8;

// Where nothing is known, a range may hold this many, so that it is worth stealing from.
const unknownRows = 1e9;

/**
 * Lays out the key space up to the largest key, by the keys of the survey, for so many cores; one range where a few
 * chunks are enough, or `cores` is 0. `from`: only what is behind that.
 */
export async function makeLayout(
  session: Session,
  plan: RunPlan,
  cores: number,
  from?: Layout['from'],
): Promise<Layout> {
  const { base, survey } = plan;
  if (isKeyless(base)) return await blockLayout(session, plan, cores);
  const stopKey = await lastKey(session, base);
  const space = 'keys';
  if (stopKey === null) return { space, stopKey, bounds: [], ends: [] };
  // Laying a few chunks out would cost more than it brings. Where few rows match, each range would have to be
  // searched, and with random keys each search reads the whole table.
  const behind = from === undefined ? {} : { from };
  if (cores === 0 || survey === undefined || survey.rows < fewRows || isSparse(survey)) {
    return { space, stopKey, bounds: [stopKey], ends: [survey?.rows ?? unknownRows], ...behind };
  }
  const { keys, rows } = survey;
  const count = Math.min(rangesPerCore * cores, keys.length);
  const places = Array.from({ length: count - 1 }, (_, index) =>
    Math.round((keys.length * (index + 1)) / count),
  );
  const inner = places.map((place) => keys[place - 1] ?? stopKey);
  const countOf = async (upTo: Position): Promise<number> => {
    const { text, values } = countUpTo(base, inner, upTo, 1);
    return Number((await session.query(`select ${text} as count`, values)).rows[0]?.['count']);
  };
  const first = from === undefined ? 0 : await countOf(from.key);
  const most = await countOf(stopKey);
  // Of a group with many rows there are several keys, of which one ends a range. And rows may have gone since.
  const isEnd = (key: Key, index: number): boolean =>
    index >= first &&
    index < most &&
    [inner[index + 1], stopKey].every((other) => JSON.stringify(key) !== JSON.stringify(other));
  const bounds = inner.filter(isEnd);
  const ends = places
    .filter((_, index) => isEnd(inner[index] ?? stopKey, index))
    .map((place) => place * stepOf(survey));
  return { space, stopKey, bounds: [...bounds, stopKey], ends: [...ends, rows], ...behind };
}

/** The largest key of a table; null where it has no row. */
export async function lastKey(session: Session, base: BaseTable): Promise<Key | null> {
  return await oneKey(session, maxKey(base));
}

// A range of fewer blocks is not worth a claim.
const leastBlocks = 64;

/** Lays out the blocks that the table has now, in about equal ranges; one where `cores` is 0. */
export async function blockLayout(session: Session, plan: RunPlan, cores: number): Promise<Layout> {
  const { text, values } = lastPlace(plan.base);
  const blocks = Number((await session.query(text, values)).rows[0]?.['blocks'] ?? 0);
  const count = Math.min(Math.max(1, rangesPerCore * cores), Math.ceil(blocks / leastBlocks));
  const lasts = Array.from({ length: count }, (_, index) => Math.floor((blocks * (index + 1)) / count));
  const bounds = lasts.map((last) => [endOfBlock(last - 1)]);
  const ends = lasts.map((last) => last * (plan.rowsPerBlock ?? 1));
  return { space: 'blocks', stopKey: bounds.at(-1) ?? null, bounds, ends };
}
