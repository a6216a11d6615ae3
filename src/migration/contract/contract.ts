import type { Knex } from 'knex';

/**
 * The author's side of the product: what a file in `migrations/` exports. Types only; the checks that
 * a loaded file keeps them are in `migration/loader`.
 */

/** A connection that every query of one chunk goes through: a knex transaction without `commit`. */
export type Database = Knex;

/** What `update` knows about the chunk it works on. */
export interface ChunkContext {
  /** Name of the migration, without extension. */
  readonly migration: string;
  /** Stable id of the chunk; the same on every attempt. Use with `attempt` as an idempotency key. */
  readonly chunk: string;
  /** 1 for the first try of this chunk, counted up by one for each further one. */
  readonly attempt: number;
  /**
   * True where `plan` tries the migration on a few rows and rolls it back: what `update` does outside `db`, such
   * as sending a mail, should then be left out.
   */
  readonly isSample: boolean;
  /**
   * For what later chunks may use again, such as ids that were looked up or inserted: it is kept from one chunk to the
   * next and emptied when a chunk is rolled back. Chunks that run at the same time do not share it.
   */
  readonly cache: Map<any, any>;
  /** Aborts when the chunk is to be given up: the grace is over, or it takes too long. */
  readonly signal: AbortSignal;
  /** Writes structured records that name the migration and the chunk. */
  readonly logger: ChunkLogger;
}

/** The logger handed to `update`. */
export interface ChunkLogger {
  debug(fields: object, message?: string): void;
  info(fields: object, message?: string): void;
  warn(fields: object, message?: string): void;
  error(fields: object, message?: string): void;
}

/**
 * Says which rows to migrate: returns a knex query, never its rows. No limit, offset, order, group,
 * distinct, union or aggregate: the runner cuts the chunks.
 *
 * `Row` is the shape of one selected row.
 */
export type Select<Row extends object = any> = (
  db: Database,
) => Knex.QueryBuilder<any, any> & { readonly __row?: Row };

/**
 * Migrates one chunk's rows. All that it does through `db` commits in the same transaction as the chunk's progress, or
 * not at all.
 */
export type Update<Row extends object = any> = (db: Database, rows: Row[], context: ChunkContext) => unknown;

/** Migrates one chunk without reading its rows; made by `setBased`. */
export type SetBasedUpdate = (chunk: Knex.QueryBuilder, db: Database, context: ChunkContext) => unknown;

/** Says which rows should not be there once the migration is done: returns a query, never its rows. */
export type Verify = (db: Database) => Knex.QueryBuilder<any, any> | Knex.Raw;

/** The way back of a data migration. */
export interface Down<Row extends object = any> {
  readonly select: Select<Row>;
  readonly update: Update<Row>;
}

/** Options of a data migration. Everything has a default. */
export interface Options {
  /** Columns that identify a row, NOT NULL and unique together. Default: the base table's primary key. */
  readonly key?: readonly string[];
  /** Fixed number of rows per chunk. Default: adapts to the target time. */
  readonly chunkSize?: number;
  /** Time a chunk aims at, in milliseconds. Default: the setting `targetMs`. */
  readonly targetMs?: number;
  /**
   * Goes over the table again when the run is done, until `select` finds nothing: for rows that were inserted or
   * changed in the meantime. `select` must drain: a row that `update` was given must not match any more. Default: false.
   */
  readonly sweep?: boolean;
  /**
   * `physical`: goes over the table in the order in which its rows are stored, and then sweeps by key. For a table
   * many times larger than memory, with keys in no such order; `select` must drain, as for `sweep`. Default: `key`.
   */
  readonly order?: 'key' | 'physical';
  /** Lets `update` delete its rows or move their keys, row by row and set-based. Default: false. */
  readonly allowDelete?: boolean;
  /** Lets `update` finish without a statement on `db` or, set-based, without one that writes. Default: false. */
  readonly allowNoQueries?: boolean;
  /**
   * What another tool must have executed before this is run, as `prisma:20260101_init`; the tools are those that
   * `baseline --from` knows. Default: nothing.
   */
  readonly requires?: string | readonly string[];
}

/** Options of a schema migration. */
export interface SchemaOptions {
  /** `false` runs `up` and `down` outside a transaction, as CREATE INDEX CONCURRENTLY needs. Default: true. */
  readonly transaction?: boolean;
  /** What another tool must have executed before this is run, as of a data migration. Default: nothing. */
  readonly requires?: string | readonly string[];
}

/** `up` or `down` of a schema migration. */
export type SchemaStep = (db: Database) => unknown;
