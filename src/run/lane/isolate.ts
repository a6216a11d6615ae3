import { randomUUID } from 'node:crypto';
import type { QuarantinedRow } from '../../ledger/run/quarantine.ts';
import type { WayBack } from '../../ledger/run/restoration.ts';
import { guardDatabase } from '../../migration/handle/guard.ts';
import type { Key, Position } from '../../migration/key/key.ts';
import { upperKey } from '../../migration/key/queries.ts';
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
import { type NextRow, type RangeLeft, oneKey } from '../order/order.ts';
import { orderOf } from '../order/orders.ts';

/** The row that is to be quarantined: the next one of a range. */
export interface Suspect {
  readonly no: number;
  /** The cursor of the failed try, and its key, where it lived to tell it. */
  readonly seen: { readonly cursor: Position | null; readonly key: Key | null };
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
    const next = isSame
      ? await nextRow(session, work, { ...owned, hi: orderOf(owned).latest(seen.key, owned.hi) })
      : null;
    const isSeen = seen.key === null || sameKey(seen.key, next?.key ?? null);
    if (owned === null || next === null || !isSeen) {
      await rollback(session);
      return null;
    }
    const at = { runId: run.id, no, cursor: owned.cursor, epoch: run.epoch, token };
    const row = { ...failure, key: next.key, attempts: owned.attempt };
    const isDone = await ledger.quarantine.add(at, { ...row, place: next.place });
    if (!isDone) {
      await rollback(session);
      return null;
    }
    await ledger.history.record('quarantined', run, row);
    await commit(session);
    return next.key;
  } catch (error) {
    await rollback(session);
    throw error;
  }
}

async function nextRow(session: Session, work: ChunkWork, left: RangeLeft): Promise<NextRow | null> {
  const { env, step, run } = work;
  const { images } = run.plan;
  if (images !== undefined) return await nextImage(session, work, images, left);
  await session.query(authorSearchPath(env.searchPath));
  const shape = selectOfChunk(work, guardDatabase(session, env.knexConfig).builder);
  const search = { shape, plan: run.plan, left, isSetBased: step.setBased };
  const found = await orderOf(left).nextRow(session, search);
  await session.query(emptySearchPath);
  return found;
}

/** People know the row by its own key. */
async function nextImage(
  session: Session,
  { env, run }: ChunkWork,
  back: WayBack,
  { after, hi }: RangeLeft,
): Promise<NextRow | null> {
  const place = await oneKey(session, upperKey(run.plan.base, after, hi, 1));
  const key = place === null ? null : await env.ledger(session).restoration.keyOf(back, place[1] ?? '');
  return key === null || place === null ? null : { key, place };
}

function sameKey(one: Position | null, other: Position | null): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
