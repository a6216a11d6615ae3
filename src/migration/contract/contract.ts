import type { Knex } from 'knex';

/**
 * The author's side of the product: what a file in `migrations/` exports. Types only; the checks that
 * a loaded file keeps them are in `migration/loader`.
 */

/** A connection that every query of one chunk goes through: a knex transaction without `commit`. */
export type Database = Knex;

/** An argument of a migration: a value that whoever runs it gives with `--arg name=value`, or in the environment. */
export interface Arg {
  /** `date` and `timestamptz` are given and passed on as text. Default: string. */
  readonly type?: 'string' | 'number' | 'integer' | 'boolean' | 'date' | 'timestamptz';
  /** Shown where it is missing. */
  readonly description?: string;
  /** Nothing begins without it, unless it has a default. Default: false, and it may be undefined. */
  readonly required?: boolean;
  readonly default?: string | number | boolean;
  /** The only values that it may have. */
  readonly choices?: readonly (string | number | boolean)[];
  /**
   * A text of 8 characters or more that is recorded as a hash and shown nowhere. `update` and `down.update` can read it,
   * `select` cannot. Default: false.
   */
  readonly secret?: boolean;
}

/** Arguments by name, as `options.args` declares them. */
export type Args = Readonly<Record<string, Arg>>;

type ArgOf<Declared> = Declared extends { readonly type: 'boolean' }
  ? boolean
  : Declared extends { readonly choices: readonly (infer Choice)[] }
    ? Choice
    : Declared extends { readonly type: 'number' | 'integer' }
      ? number
      : string;

/** The values of arguments, by options that are declared with `as const satisfies Options`. */
export type ArgsOf<Declared extends { readonly args: Args }> = {
  readonly [Name in keyof Declared['args']]: Declared['args'][Name] extends
    { readonly required: true } | { readonly default: string | number | boolean }
    ? ArgOf<Declared['args'][Name]>
    : ArgOf<Declared['args'][Name]> | undefined;
};

/** What `select` is given beside the database. */
export interface SelectContext<Values = any> {
  /** The values of `options.args`; reading a secret is refused. */
  readonly args: Values;
}

/** What `update` knows about the chunk it works on. */
export interface ChunkContext<Values = any> {
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
  /** The values of `options.args`: the same in each chunk, on each host, after each resumption, and in `down`. */
  readonly args: Values;
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

/** A text with `$1` and its values, as `.toSQL()` of Drizzle and `.compile()` of Kysely return it. */
export type CompiledQuery =
  | { readonly sql: string; readonly params: readonly unknown[] }
  | { readonly sql: string; readonly parameters: readonly unknown[] };

/**
 * Says which rows to migrate: returns a knex query, or one that another library has compiled, never its rows. No limit, offset, order,
 * union or window: the runner cuts the chunks. Group by, distinct and distinct on by columns of its one table, or by
 * expressions that an index begins with, make each group a row.
 *
 * `Row` is the shape of one selected row.
 */
export type Select<Row extends object = any, Values = any> = (
  db: Database,
  context: SelectContext<Values>,
) => (Knex.QueryBuilder<any, any> & { readonly __row?: Row }) | CompiledQuery;

/**
 * Migrates one chunk's rows. All that it does through `db` commits in the same transaction as the chunk's progress, or
 * not at all.
 */
export type Update<Row extends object = any, Values = any> = (
  db: Database,
  rows: Row[],
  context: ChunkContext<Values>,
) => unknown;

/** Migrates one chunk without reading its rows; made by `setBased`. */
export type SetBasedUpdate<Values = any> = (
  chunk: Knex.QueryBuilder,
  db: Database,
  context: ChunkContext<Values>,
) => unknown;

/** Says which rows should not be there once the migration is done: returns a query, never its rows. */
export type Verify<Values = any> = (
  db: Database,
  context: SelectContext<Values>,
) => Knex.QueryBuilder<any, any> | Knex.Raw | CompiledQuery;

/** The way back of a data migration. */
export interface Down<Row extends object = any, Values = any> {
  readonly select: Select<Row, Values>;
  readonly update: Update<Row, Values>;
}

/** Options of a data migration. Everything has a default. */
export interface Options {
  /** Values that whoever runs it gives: `context.args` in `select`, `update`, `down` and `options.weigh`. Default: none. */
  readonly args?: Args;
  /** Columns that identify a row, NOT NULL and unique together. Default: the base table's primary key. */
  readonly key?: readonly string[];
  /** Fixed number of rows per chunk. Default: adapts to the target time. */
  readonly chunkSize?: number;
  /**
   * What a row weighs, where some take much longer than others: a column of `select`, or a query for each row, as
   * `(db) => db('lines').count().whereColumn('lines.order_id', 'orders.id')`. A chunk ends before the row with which it
   * would weigh more than it may; a row that is heavier by itself is a chunk of its own. Each weighs at least 1, and
   * sizes of chunks are ones of weight. Not for `down`. Default: each row weighs 1.
   */
  readonly weigh?:
    | string
    | ((db: Database, context: SelectContext<any>) => Knex.QueryBuilder<any, any> | Knex.Raw | CompiledQuery);
  /** Time a chunk aims at, in milliseconds. Default: the setting `targetMs`. */
  readonly targetMs?: number;
  /**
   * Goes over the table again when the run is done, until `select` finds nothing: for rows that were inserted or
   * changed in the meantime. `select` must drain: a row that `update` was given must not match any more. Default: false.
   */
  readonly sweep?: boolean;
  /**
   * `physical`: goes over the table in the order in which its rows are stored, and then sweeps by key. For a table
   * larger than memory, with keys in no such order; `select` must drain, as for `sweep`. `key`: in the order of the key.
   * Default: `auto`, the one that pays: physical only if the first rows that are updated do not match any more.
   */
  readonly order?: 'auto' | 'key' | 'physical';
  /**
   * Vacuums the table beside the chunks, each time that a fifth of it is dead rows. Default: false, as autovacuum does it.
   */
  readonly vacuum?: boolean;
  /**
   * Has Postgres make statistics of the columns that were set, once a run has ended that changed much of its table.
   * Default: true.
   */
  readonly analyze?: boolean;
  /** Lets `update` delete its rows or move their keys, row by row and set-based. Default: false. */
  readonly allowDelete?: boolean;
  /**
   * Keeps what rows held before and after, so that `down` can restore them without an exported `down`. `keepDays`: removed so
   * long after the migration was executed. Default: the setting `undo`.
   */
  readonly undo?: boolean | { readonly keepDays: number };
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
