import { randomUUID } from 'node:crypto';
import { own } from '../ledger/chunks.ts';
import { type QuarantinedRow, setAside } from '../ledger/quarantine.ts';
import type { Key } from '../ledger/rows.ts';
import { pickKeys } from '../migration/chunk-queries.ts';
import { upperKey } from '../migration/key-queries.ts';
import { guardDatabase } from '../migration/guard.ts';
import type { Session } from '../postgres/session.ts';
import {
  authorSearchPath,
  beginWith,
  commit,
  emptySearchPath,
  inOrder,
  rollback,
} from '../postgres/transaction.ts';
import { selectOfChunk } from './author-select.ts';
import type { ChunkWork } from './chunk-work.ts';

/** The row that is to be set aside: the next one of a range. */
export interface Suspect {
  readonly no: number;
  /** The cursor and key of the failed try, where it lived to tell them. */
  readonly seen: { readonly cursor: Key | null; readonly key: Key | null } | null;
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
  const token = randomUUID();
  try {
    const [, owned] = await inOrder([
      beginWith(session, env.pinned),
      own(session, env.names, run.id, no, token),
    ]);
    const isSame =
      owned !== null &&
      owned.runState === 'running' &&
      owned.epoch === run.epoch &&
      (seen === null || sameKey(seen.cursor, owned.cursor));
    const key = isSame ? await nextKey(session, work, owned.after, seen?.key ?? owned.hi) : null;
    const isSeen = seen === null || seen.key === null || sameKey(seen.key, key);
    if (owned === null || key === null || !isSeen) {
      await rollback(session);
      return null;
    }
    const at = { runId: run.id, no, cursor: owned.cursor, epoch: run.epoch, token };
    const isDone = await setAside(session, env.names, at, { ...failure, key, attempts: owned.attempt });
    if (isDone) await commit(session);
    else await rollback(session);
    return isDone ? key : null;
  } catch (error) {
    await rollback(session);
    throw error;
  }
}

async function nextKey(session: Session, work: ChunkWork, after: Key | null, hi: Key): Promise<Key | null> {
  const { env, step, run } = work;
  const { base } = run.plan;
  await session.query(authorSearchPath(env.searchPath));
  const shape = selectOfChunk(work, guardDatabase(session, env.knexConfig).builder);
  const statement = step.setBased
    ? upperKey(base, after, hi, 1)
    : pickKeys(shape, base, { after, upTo: hi, limit: 1 });
  const found = await session.query(statement.text, statement.values);
  await session.query(emptySearchPath);
  return (found.rows[0]?.['key'] as Key | null | undefined) ?? null;
}

function sameKey(one: Key | null, other: Key | null): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
