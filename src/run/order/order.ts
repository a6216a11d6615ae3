import type { Bounds, Owned } from '../../ledger/run/chunks.ts';
import type { Range, RunPlan } from '../../ledger/run/rows.ts';
import type { Statement } from '../../migration/key/sql.ts';
import type { BaseTable, Key, Position } from '../../migration/key/key.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import type { Session } from '../../postgres/session.ts';

/**
 * The order in which a run visits its table: by the key, or by the rows' places in the table's file
 * (`options.order`). What a run does that depends on it is here, and nowhere else.
 */
export interface WalkingOrder {
  /** An updated row is still in the range in which it was found; its place it leaves as soon as it is updated. */
  readonly keepsUpdated: boolean;
  /** The table with what orders its rows. */
  ordered(base: BaseTable): BaseTable;
  /** Where a chunk of about so many rows of the table ends. */
  chunkEnd(session: Session, plan: RunPlan, range: RangeLeft, reach: ReachedKeys): Promise<ChunkEnd>;
  /** Where the cursor is when some rows of a full chunk were changed while it waited for them; null: read it again. */
  endOfMoved(after: Position | null): Position | null;
  /** How far a chunk has gone. */
  passed(plan: RunPlan, owned: Owned, done: Done): Passed;
  /** Where a range is cut in two; its owner keeps at least so many rows of the table. */
  cut(session: Session, plan: RunPlan, range: Divisible, leastKept: number): Promise<Cut>;
  /** The next row of a range, whatever `select` says of its size. */
  nextRow(session: Session, search: RowSearch): Promise<NextRow | null>;
  /** Where a row of this key is at the latest, in a range that ends at `hi`. */
  latest(key: Key | null, hi: Position): Position;
}

/** What is left of a range. */
export type RangeLeft = Pick<Owned, 'space' | 'after' | 'hi'> & Partial<Pick<Owned, 'at' | 'left'>>;

/** How far a chunk may go. */
export interface Reach {
  /** Rows of the table, whether they match or not. Null: to the end of its range. */
  readonly keys: number | null;
  /** About so many will do. */
  readonly isRough?: boolean | undefined;
}

/** A reach that has an end of its own. */
export type ReachedKeys = Reach & { readonly keys: number };

/** Where a chunk ends at the latest, however few of its rows match. */
export interface ChunkEnd {
  readonly upTo: Position;
  /** That is where its range ends. */
  readonly isLast: boolean;
}

/** Where a chunk has ended; `passed`: the rows of the table that it has counted. */
export interface Done {
  readonly to: Position;
  readonly rows: number;
  readonly passed: number | null;
}

/** Rows of the table that a chunk has passed, and what a survey says of that. */
export interface Passed {
  readonly passed: number;
  readonly bounds: Bounds | null;
}

/** A range with its size. */
export type Divisible = Range & { readonly at: number; readonly estimated: number };

/** Where a range is cut, and the rows of the table that its owner keeps by the estimate; null: nowhere. */
export interface Cut {
  readonly at: Position | null;
  readonly kept: number;
}

/** Where the next row is looked for. */
export interface RowSearch {
  readonly shape: SelectShape;
  readonly plan: RunPlan;
  readonly left: RangeLeft;
  readonly isSetBased: boolean;
}

/** A row, and where it is in its range. */
export interface NextRow {
  readonly key: Key;
  readonly place: Position;
}

/** The key in the first row of an answer. */
export async function oneKey(session: Session, { text, values }: Statement): Promise<Key | null> {
  return ((await session.query(text, values)).rows[0]?.['key'] as Key | undefined) ?? null;
}
