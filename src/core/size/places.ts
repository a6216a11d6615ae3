/**
 * Places of rows in a table's file, as Postgres writes them: `(block,offset)`. A range of blocks is a range of
 * places, from the end of one block to the end of another.
 */

// No block has as many rows: the place behind all that it can hold.
const lastOffset = 65_535;

/** Before every row of a table. */
export const firstPlace = '(0,0)';

/** The place behind all rows of a block. */
export function endOfBlock(block: number): string {
  return `(${block},${lastOffset})`;
}

/** The block of a place, and the number of its row in it. */
export function parsePlace(place: string): { readonly block: number; readonly offset: number } {
  const [, block, offset] = /^\((\d+),(\d+)\)$/.exec(place) ?? [];
  if (block === undefined || offset === undefined) throw new Error(`no place: ${place}`);
  return { block: Number(block), offset: Number(offset) };
}

/** The first block with rows behind a place; null: of the whole table. */
export function nextBlock(after: string | null): number {
  if (after === null) return 0;
  const { block, offset } = parsePlace(after);
  return offset >= lastOffset ? block + 1 : block;
}

/** The end of so many blocks behind a place, but at most `last`. */
export function endAfter(after: string | null, blocks: number, last: string): string {
  const end = nextBlock(after) + Math.max(1, Math.floor(blocks)) - 1;
  return end < parsePlace(last).block ? endOfBlock(end) : last;
}

/** The end of a block about in the middle of a range, strictly inside of it; null where there is none. */
export function middlePlace(after: string | null, last: string): string | null {
  const from = nextBlock(after);
  const to = parsePlace(last).block;
  return to - from < 2 ? null : endOfBlock(from + Math.floor((to - from) / 2));
}
