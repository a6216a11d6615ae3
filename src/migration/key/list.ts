import type { Key } from './key.ts';

/**
 * Keys, kept by column: an array for each of them would take as much memory as their text. Statements get them by
 * column too.
 */
export class KeyList {
  /** Of each key column its texts; all of one length. */
  readonly columns: readonly (readonly string[])[];

  constructor(columns: readonly (readonly string[])[]) {
    this.columns = columns;
  }

  get length(): number {
    return this.columns[0]?.length ?? 0;
  }

  /** The key at a place, which counts from the end where it is negative. */
  at(index: number): Key | undefined {
    const key = this.columns.map((column) => column.at(index));
    return key.every((text) => text !== undefined) && key.length > 0 ? key : undefined;
  }

  *[Symbol.iterator](): Generator<Key> {
    for (let index = 0; index < this.length; index += 1) yield this.at(index) as Key;
  }
}

export type Keys = readonly Key[] | KeyList;

/** Keys by column, of which a key has `width`. */
export function byColumn(keys: Keys, width: number): readonly (readonly (string | undefined)[])[] {
  if (keys instanceof KeyList) return keys.columns;
  return Array.from({ length: width }, (_, index) => keys.map((key) => key[index]));
}
