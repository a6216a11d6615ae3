import { randomUUID } from 'node:crypto';
import type { Owned } from '../../ledger/run/chunks.ts';
import type { QuarantinedRow } from '../../ledger/run/quarantine.ts';
import type { RunPlan } from '../../ledger/run/rows.ts';
import { lockedChunk, pickKeys } from '../../migration/chunk/queries.ts';
import { ChunkRows } from '../../migration/chunk/rows.ts';
import { upperKey } from '../../migration/key/queries.ts';
import { guardDatabase } from '../../migration/handle/guard.ts';
import { inSpace, type Key } from '../../migration/key/key.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import type { Session } from '../../postgres/session.ts';
import {
  authorSearchPath,
  beginWith,
  commit,
  emptySearchPath,
  inOrder,
  rollback,
} from '../../postgres/transaction.ts';
import { selectOfChunk } from '../analyze/author-select.ts';
import type { ChunkWork } from '../context/chunk-work.ts';
import { type RangeLeft, chunkEnd } from '../chunk/chunk-end.ts';

/** The row that is to be set aside: the next one of a range. */
export interface Suspect {
  readonly no: number;
  /** The cursor of the failed try, and its key, where it lived to tell it. */
  readonly seen: { readonly cursor: Key | null; readonly key: Key | null };
  readonly failure: Omit<QuarantinedRow, 'key' | 'attempts'>;
}

/**
 * Writes the next row of a range to the quarantine and goes past it, in one transaction (protocol T4). Null
 * where the range or the row is not what it was when the chunk failed: then it is simply tried again.
 */
export async function quarantineNext(
  session: Session,
  work: ChunkWork,
  { no, seen, failure }: Suspect,
): Promise<Key | null> {
  const { env, run } = work;
  const ledger = env.ledger(session);
  const token = randomUUID();
  try {
    const [, owned] = await inOrder([
      beginWith(session, env.pinned),
      ledger.chunks.lockRange(run.id, no, token),
    ]);
    const isSame =
      owned !== null &&
      owned.runState === 'running' &&
      owned.epoch === run.epoch &&
      sameKey(seen.cursor, owned.cursor);
    const next = isSame ? await nextRow(session, work, { ...owned, hi: boundOf(owned, seen) }) : null;
    const isSeen = seen.key === null || sameKey(seen.key, next?.key ?? null);
    if (owned === null || next === null || !isSeen) {
      await rollback(session);
      return null;
    }
    const at = { runId: run.id, no, cursor: owned.cursor, epoch: run.epoch, token };
    const isDone = await ledger.quarantine.add(at, { ...failure, ...next, attempts: owned.attempt });
    if (isDone) await commit(session);
    else await rollback(session);
    return isDone ? next.key : null;
  } catch (error) {
    await rollback(session);
    throw error;
  }
}

/** Where the row that is looked for is known to be at the latest. */
function boundOf({ space, hi }: Owned, seen: Suspect['seen']): Key {
  return space === 'keys' ? (seen.key ?? hi) : hi;
}

/** The next row of a range, and its place in the range's order. */
interface NextRow {
  readonly key: Key;
  readonly place: Key;
}

async function nextRow(session: Session, work: ChunkWork, left: RangeLeft): Promise<NextRow | null> {
  const { env, step, run } = work;
  const { base } = run.plan;
  await session.query(authorSearchPath(env.searchPath));
  const shape = selectOfChunk(work, guardDatabase(session, env.knexConfig).builder);
  const { after, hi } = left;
  const find = async (): Promise<NextRow | null> => {
    if (left.space === 'blocks') return await nextInBlocks(session, shape, run.plan, left);
    const statement = step.setBased
      ? upperKey(base, after, hi, 1)
      : pickKeys(shape, base, { after, upTo: hi, limit: 1 });
    const [found] = (await session.query(statement.text, statement.values)).rows;
    return found === undefined ? null : { key: found['key'] as Key, place: found['key'] as Key };
  };
  const found = await find();
  await session.query(emptySearchPath);
  return found;
}

// To find a row in its order, all of the places that are looked at are sorted.
const keysAtOnce = 1_000;

async function nextInBlocks(
  session: Session,
  shape: SelectShape,
  plan: RunPlan,
  left: RangeLeft,
): Promise<NextRow | null> {
  const placed = inSpace(plan.base, 'blocks');
  for (let { after } = left; ;) {
    const { upTo, isLast } = await chunkEnd(session, plan, { ...left, after }, { keys: keysAtOnce });
    const next = lockedChunk(shape, placed, { after, upTo, limit: 1 }, { identity: plan.base });
    const read = new ChunkRows(plan.base);
    await session.authorRows(next.text, next.values, read);
    const key = read.keys.at(0);
    if (key !== undefined) return read.mayHaveMoved ? null : { key, place: read.last ?? upTo };
    if (isLast) return null;
    after = upTo;
  }
}

function sameKey(one: Key | null, other: Key | null): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
