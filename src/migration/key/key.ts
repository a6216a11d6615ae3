/** How two values of a column are compared. */
export type Comparison = '<' | '<=' | '=' | '>=' | '>';

/** A column of the key, as Postgres knows it. */
export interface KeyColumn {
  readonly name: string;
  /**
   * Schema-qualified, quoted type without typmod, ready for a cast: `"pg_catalog"."uuid"`. Of a domain the type
   * beneath it; `text` for `name`, whose own collation would clash with the column's.
   */
  readonly type: string;
  /** The column is of a domain over `type`. */
  readonly isDomain?: true;
  readonly attnum: number;
  /** The column's collation by name, locale and version, `default(en_US.UTF-8)@2.36`; '0': none. A changed order is refused. */
  readonly collation: string;
  /** Its comparison operators, qualified, where they are not Postgres's own (citext and other extensions). */
  readonly operators?: Readonly<Record<Comparison, string>>;
  /** Columns that it is generated from. */
  readonly madeFrom?: readonly string[];
  /** It is no column but this expression, by which a select groups rows, in SQL for either search path. */
  readonly expression?: string;
}

/** The same column where a query gives it another name. */
export function namedAs({ expression: _expression, ...column }: KeyColumn, name: string): KeyColumn {
  return { ...column, name };
}

/** A key as text, one element per key column; only Postgres compares keys. */
export type Key = readonly string[];

/** Where a row lies in the table's file, as text: `['(3,65535)']`. The row leaves it when it is updated. */
export type Place = readonly [place: string];

/** Where a range begins or ends, and its cursor stands, in the order in which its run visits the table. */
export type Position = Key | Place;

/** What a range is a range of: keys, or places in the table's file (`options.order`). */
export type Space = 'keys' | 'blocks';

/** The place of a row as a column of its table. */
export const place: KeyColumn = { name: 'ctid', type: '"pg_catalog"."tid"', attnum: -1, collation: '0' };

/** The table with its rows ordered by their places. */
export function inPlaces(base: BaseTable): BaseTable {
  return isKeyless(base) ? base : { ...base, key: [place] };
}

/**
 * Whether rows are identified by their places, since the table has no key that could: each for as long as it is locked
 * and not updated.
 */
export function isKeyless({ key: [first] }: Pick<BaseTable, 'key'>): boolean {
  return first?.attnum === place.attnum;
}

/** The table whose rows a migration visits, and the key that identifies and orders them. */
export interface BaseTable {
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  /** Its own rows alone, without those of tables that inherit from it. */
  readonly only?: true;
  readonly key: readonly KeyColumn[];
  /** The key is that of a group of rows, not of one: a select groups by it. */
  readonly isGrouped?: true;
  /** The planner's row count for the table's present size, -1 where the table was never analysed. */
  readonly estimatedRows: number;
  /** Blocks of the table, or of all its partitions. */
  readonly blocks: number;
  /** It has no blocks of its own. */
  readonly isPartitioned?: true;
  /** Some values are stored out of line: rows may be of any size. */
  readonly hasLargeValues?: true;
  /** Bytes on disk, with values that are stored out of line. Ledgers of earlier versions lack it. */
  readonly bytes?: number;
}
