import { messageOf } from '../../errors.ts';
import type { Key } from '../../ledger/run/rows.ts';
import type { Session } from '../../postgres/session.ts';
import type { ChunkWork } from '../context/chunk-work.ts';
import { type Images, changedColumns, differingRows, readImages } from '../chunk/row-snapshots.ts';
import { type Place, applied, inSavepoint, limitFor, nextKeys } from './sample-chunk.ts';

/**
 * `update` on rows that it has changed already. `drained`: they do not match any more. `same`: it changes nothing.
 * `differs`: it changes so many of them again. `fails`: it does not bear it.
 */
export type Twice =
  | { readonly kind: 'drained' | 'same' }
  | { readonly kind: 'differs'; readonly rows: number }
  | { readonly kind: 'fails'; readonly why: string };

/** `down` on rows that `update` has changed. `differs`: so many rows are not as they were, in these columns. */
export type Back =
  | { readonly kind: 'none' | 'restores' }
  | { readonly kind: 'differs'; readonly rows: number; readonly columns: readonly string[] }
  | { readonly kind: 'fails'; readonly why: string };

/** Runs `update` once more on the rows that it has changed, and takes that back. */
export async function applyTwice(
  session: Session,
  work: ChunkWork,
  place: Place,
  { keys, after, signal }: { keys: readonly Key[]; after: Images; signal: AbortSignal },
): Promise<Twice> {
  const { base } = work.run.plan;
  try {
    return await inSavepoint(session, async (): Promise<Twice> => {
      const matching = (await nextKeys(session, work, place, keys.length)).length;
      if (matching === 0) return { kind: 'drained' };
      await applied(session, work, place, { limit: limitFor(work, keys.length), signal });
      const again = await readImages(session, base, after.columns, keys);
      const rows = differingRows(after, again);
      return rows === 0 ? { kind: 'same' } : { kind: 'differs', rows };
    });
  } catch (error) {
    if (!session.usable) throw error;
    return { kind: 'fails', why: messageOf(error) };
  }
}

/** Runs `down` on the rows that `update` has changed, and takes that back. */
export async function goBack(
  session: Session,
  down: ChunkWork | null,
  place: Place,
  { keys, before, signal }: { keys: readonly Key[]; before: Images; signal: AbortSignal },
): Promise<Back> {
  if (down === null) return { kind: 'none' };
  const { base } = down.run.plan;
  try {
    return await inSavepoint(session, async (): Promise<Back> => {
      // It may select more rows of the place than there are keys.
      await applied(session, down, place, { limit: limitFor(down, down.env.tuning.maxRows), signal });
      const back = await readImages(session, base, before.columns, keys);
      const rows = differingRows(before, back);
      if (rows === 0) return { kind: 'restores' };
      return { kind: 'differs', rows, columns: changedColumns(before, back) };
    });
  } catch (error) {
    if (!session.usable) throw error;
    return { kind: 'fails', why: messageOf(error) };
  }
}
