import type { Key, RunPlan } from '../ledger/rows.ts';
import { nthOfKeys, sampledKeys } from '../migration/key-queries.ts';
import type { BaseTable } from '../migration/key.ts';
import type { Session } from '../postgres/session.ts';

/** Keys of a table about every so many rows. */
interface Milestones {
  /** The text of an array, in the order of the keys. */
  readonly keys: string;
  /** Rows from one to the next, by the estimate. */
  readonly apart: number;
}

// A chunk of as many sampled rows has a size that is a fifth off, as a rule.
const sampledPerStone = 10;
const leastStones = 2;

// Of a small table too: it is blocks that are drawn, and of two or three of them all may be passed over.
const leastSampled = 5_000;

// Nearer to each other they would be more than chunks need; more of them take more than 50 ms to be found, and
// more than 1 ms to be looked through for each chunk.
const leastApart = 1_000;
const mostStones = 4_000;

// A smaller table has few chunks.
const leastRows = 20_000;

// 'asked': a lane of this process is at it. Null: there are none.
const known = new WeakMap<RunPlan, Milestones | 'asked' | null>();

/**
 * The key about `keys` rows behind `from`; 'last' where the range has fewer. Null where that is not known: the keys are
 * few, or lie in the order of the rows, or have an order of their own. Counting them on the index instead visits the
 * page of every row, as soon as some rows of each page are changed: 1,000,000 rows by random uuids in chunks of
 * 10,000 took 5.9 s of the server's CPU time with that, 4.5 s without.
 */
export async function milestone(
  session: Session,
  plan: RunPlan,
  { from, to, keys }: { readonly from: Key | null; readonly to: Key; readonly keys: number },
): Promise<Key | 'last' | null> {
  const { base } = plan;
  if (!isSampled(base) || keys < leastStones * apartIn(base)) return null;
  if (!known.has(plan)) await find(session, plan);
  const stones = known.get(plan) ?? null;
  // Nobody waits for another lane's connection.
  if (stones === null || stones === 'asked' || keys < leastStones * stones.apart) return null;
  const { text, values } = nthOfKeys(base, stones.keys, from, to, Math.round(keys / stones.apart));
  return ((await session.query(text, values)).rows[0]?.['key'] as Key | undefined) ?? 'last';
}

async function find(session: Session, plan: RunPlan): Promise<void> {
  known.set(plan, 'asked');
  try {
    known.set(plan, await sample(session, plan.base));
  } catch (error) {
    known.delete(plan);
    throw error;
  }
}

// A key with a collation is compared in that of its column, which a list of keys has not.
function isSampled({ key, estimatedRows, isPartitioned }: BaseTable): boolean {
  const [column] = key;
  const isSimple = column?.collation === '0' && column.isDomain !== true && column.operators === undefined;
  return key.length === 1 && isSimple && isPartitioned !== true && estimatedRows >= leastRows;
}

function apartIn({ estimatedRows }: BaseTable): number {
  return Math.max(leastApart, estimatedRows / mostStones);
}

async function sample(session: Session, base: BaseTable): Promise<Milestones | null> {
  const { estimatedRows } = base;
  const apart = apartIn(base);
  const share = Math.max(sampledPerStone / apart, leastSampled / estimatedRows);
  const { text, values } = sampledKeys(base, 100 * share, Math.round(apart * share));
  const { keys, count } = (await session.query(text, values)).rows[0] ?? {};
  return typeof keys === 'string' ? { keys, apart: estimatedRows / (Number(count) + 1) } : null;
}
