import type { Key } from '../../ledger/run/rows.ts';

/** How far a chunk has gone. */
export interface ChunkResult {
  readonly rows: number;
  /** The new cursor. */
  readonly to: Key;
  /** The range is at its end. */
  readonly last: boolean;
  /** It stopped at the number of rows that it was allowed. */
  readonly isFull: boolean;
  /** It has fewer rows than it might, since they are large. */
  readonly isCut: boolean;
  /** Keys from the old cursor to the new one, whether their rows match or not; null: not known. */
  readonly passed: number | null;
}
