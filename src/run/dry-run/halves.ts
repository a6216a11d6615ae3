import type { Key } from '../../migration/key/key.ts';
import type { Session } from '../../postgres/session.ts';
import type { ChunkWork } from '../context/chunk-work.ts';
import {
  type Images,
  changedColumns,
  differingRows,
  readImages,
  readableColumns,
} from '../chunk/row-snapshots.ts';
import { type Place, applied, inSavepoint, limitFor, nextKeys, rolledBack } from './sample-chunk.ts';

/**
 * Updates the first rows of a place in one chunk, and in two of which the second sees what the first has written; all
 * of it is rolled back. Returns the columns that end differently, none where other rows are left, null where all is
 * the same. What differs is tried once more each way: what is not the same both times (a clock, chance, a sequence)
 * tells nothing, nor does a try that fails.
 */
export async function compareHalves(
  session: Session,
  work: ChunkWork,
  place: Place,
  limit: number,
): Promise<readonly string[] | null> {
  const { base } = work.run.plan;
  return await rolledBack(session, work.env, async (signal) => {
    const { locked: keys } = await nextKeys(session, work, place, limit);
    const [middle, last] = [keys[Math.ceil(keys.length / 2) - 1], keys.at(-1)];
    if (keys.length < 2 || middle === undefined || last === undefined) return null;
    const columns = await readableColumns(session, base);
    const after = async (...ends: readonly Key[]): Promise<Images> =>
      await inSavepoint(session, async () => {
        let from = place.after;
        for (const upTo of ends) {
          const on = { limit: limitFor(work, keys.length), signal, named: place.after };
          await applied(session, work, { after: from, upTo }, on);
          from = upTo;
        }
        return await readImages(session, base, columns, keys);
      });
    try {
      const [whole, halves] = [await after(last), await after(middle, last)];
      if (differingRows(whole, halves) === 0) return null;
      return differenceOf([whole, await after(last)], [halves, await after(middle, last)]);
    } catch (error) {
      if (!session.usable) throw error;
      return null;
    }
  });
}

type Tries = readonly [Images, Images];

function differenceOf(whole: Tries, halves: Tries): readonly string[] | null {
  const unsteady = [...changedColumns(...whole), ...changedColumns(...halves)];
  const columns = changedColumns(whole[0], halves[0]).filter((column) => !unsteady.includes(column));
  const isSteady = ([one, other]: Tries): boolean => one.rows.size === other.rows.size;
  const isOther = whole[0].rows.size !== halves[0].rows.size && isSteady(whole) && isSteady(halves);
  return columns.length > 0 || isOther ? columns : null;
}
