import type { WayBack } from '../../ledger/run/restoration.ts';
import { nothingWritten } from '../../migration/handle/written.ts';
import type { ChunkWork } from '../context/chunk-work.ts';
import type { Session } from '../../postgres/session.ts';
import { chunkEnd } from '../order/orders.ts';
import type { Migrated, Taken } from './call-update.ts';
import { noWrites } from './write-counters.ts';

/** Restores the rows of the next images; no author's code is called. */
export async function migrateImages(
  session: Session,
  { env, run }: ChunkWork,
  back: WayBack,
  { owned, limits, found }: Taken,
): Promise<Migrated> {
  const keys = limits.keys ?? limits.rows;
  const { upTo, isLast } = await chunkEnd(session, run.plan, owned, { keys, isRough: limits.isRough });
  await found(keys, null);
  const numberOf = (position: readonly string[]): string => position[1] ?? '';
  const range = {
    runId: run.id,
    after: owned.after === null ? null : numberOf(owned.after),
    upTo: numberOf(upTo),
  };
  const { rows, written } = await env.ledger(session).restoration.restore(back, range, env.searchPath);
  const end = { to: upTo, last: isLast, isFull: false, isCut: false, passed: isLast ? null : keys };
  return {
    ...end,
    rows,
    weight: rows,
    changed: written,
    check: null,
    before: noWrites,
    written: nothingWritten,
    covered: [],
  };
}
