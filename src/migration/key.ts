/** A column of the key, as Postgres knows it. */
export interface KeyColumn {
  readonly name: string;
  /** Schema-qualified, quoted type without typmod, ready for a cast: `"pg_catalog"."uuid"`. */
  readonly type: string;
  readonly attnum: number;
  /** Oid of the column's collation as text, '0' for none; with its version, to refuse a changed order. */
  readonly collation: string;
}

/** The table whose rows a migration visits, and the key that identifies and orders them. */
export interface BaseTable {
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  readonly key: readonly KeyColumn[];
  /** The planner's row count (reltuples), -1 where the table was never analysed. */
  readonly estimatedRows: number;
}
