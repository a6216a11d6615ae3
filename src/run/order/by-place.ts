import { endAfter, firstPlace, middlePlace, nextBlock } from '../../core/size/places.ts';
import { lockedChunk } from '../../migration/chunk/queries.ts';
import { ChunkRows } from '../../migration/chunk/rows.ts';
import { inPlaces } from '../../migration/key/key.ts';
import { keyAtOffset } from '../../migration/key/queries.ts';
import { type WalkingOrder, oneKey } from './order.ts';

/** By the places of rows in the table's file: a range is one of blocks, and each of them is read once. */
export const byPlace: WalkingOrder = {
  keepsUpdated: false,

  ordered: inPlaces,

  async chunkEnd(session, { base, rowsPerBlock = 1 }, { after, hi }, { keys }) {
    const [last = ''] = hi;
    const end = endAfter(after?.[0] ?? null, keys / rowsPerBlock, last);
    // A part of a block, where a failing chunk is tried with fewer rows.
    const isPart = keys === 1 || keys < rowsPerBlock;
    const inside = isPart ? await oneKey(session, keyAtOffset(inPlaces(base), after, [end], keys - 1)) : null;
    return { upTo: inside ?? [end], isLast: inside === null && end === last };
  },

  // A row that moved while it was waited for tells its new place, which may be far behind the others.
  endOfMoved: (after) => after ?? [firstPlace],

  passed({ rowsPerBlock = 1 }, { after }, { to }) {
    const blocks = nextBlock(to[0] ?? null) - nextBlock(after?.[0] ?? null);
    return { passed: blocks * rowsPerBlock, bounds: null };
  },

  cut(_session, _plan, { cursor, lo, hi, estimated }) {
    const place = middlePlace((cursor ?? lo)?.[0] ?? null, hi[0] ?? '');
    return Promise.resolve({ at: place === null ? null : [place], kept: Math.floor(estimated / 2) });
  },

  async nextRow(session, { shape, plan, left }) {
    for (let { after } = left; ;) {
      const { upTo, isLast } = await this.chunkEnd(session, plan, { ...left, after }, { keys: keysAtOnce });
      const range = { after, upTo, limit: 1 };
      const next = lockedChunk(shape, inPlaces(plan.base), range, { identity: plan.base });
      const read = new ChunkRows(plan.base);
      await session.authorRows(next.text, next.values, read);
      const key = read.keys.at(0);
      if (key !== undefined) return read.mayHaveMoved ? null : { key, place: read.last ?? upTo };
      if (isLast) return null;
      after = upTo;
    }
  },

  latest: (_key, hi) => hi,
};

// To find a row in its order, all of the places that are looked at are sorted.
const keysAtOnce = 1_000;
