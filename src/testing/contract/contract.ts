import type { Knex } from 'knex';

/** What an author asks of `testMigration`, and what comes back. Types only. */

/** Fills tables: statements, rows by table (`'schema.table'`), or a function with a knex of the test's database. */
export type Seed =
  string | Readonly<Record<string, readonly object[]>> | ((db: Knex) => unknown) | readonly Seed[];

/** What is to be tested, and on what. */
export interface MigrationTest {
  /** The migration: a path, relative to `cwd`, or a file URL. */
  readonly file: string | URL;
  /** What is there before it; rows that `select` finds and rows that it does not. */
  readonly seed: Seed;
  /** What is there before any migration: tables that another tool makes, for example. Default: nothing. */
  readonly schema?: Seed | undefined;
  /** Migrations that run before the seed, in this order: those that make the tables, for example. */
  readonly earlier?: readonly (string | URL)[] | undefined;
  /**
   * Connection string of a database that the test starts from; it is never written to. The test works in
   * databases of its own on the same server, copies of this one, which it drops. It must be empty, unless
   * `copyRows` is true. Default: an empty database on the embedded server.
   */
  readonly database?: string | undefined;
  /** Starts from all that `database` holds, tables and rows. Nobody may be connected to it. Default: false. */
  readonly copyRows?: boolean | undefined;
  /** Values for the arguments that migrations declare, by name. Default: none. */
  readonly args?: Readonly<Record<string, string | number | boolean>> | undefined;
  /** Rows in a chunk. Default: a seventh of the rows that `select` finds. */
  readonly chunkSize?: number | undefined;
  /** Whether running it a second time must change nothing. Default: true. */
  readonly idempotent?: boolean | undefined;
  /** Tables (`'table'`) and columns (`'table.column'`) that no comparison looks at: random values, for example. */
  readonly ignore?: readonly string[] | undefined;
  /** Looks at the migrated rows, and throws where they are not as they should be. */
  readonly check?: ((db: Knex) => unknown) | undefined;
  /** Folder of the project, where its knexfile is looked for. Default: the working directory. */
  readonly cwd?: string | undefined;
  /** Path of a knexfile. Default: as on the command line. */
  readonly knexfile?: string | undefined;
  /** Environment of the knexfile. Default: as on the command line. */
  readonly env?: string | undefined;
}

/** Fills tables at its place in a list of files. */
export interface SeedBetween {
  readonly seed: Seed;
}

/** Several migrations that are deployed together: expand, backfill, contract. */
export interface MigrationListTest extends Omit<MigrationTest, 'file' | 'seed'> {
  /** Migrations of both kinds, in the order in which they run; `{ seed }` adds rows between two of them. */
  readonly files: readonly (string | URL | SeedBetween)[];
  /** What is there before the first of them. May be left out where the list has a seed. */
  readonly seed?: Seed | undefined;
}

/**
 * What is asked of a migration, in this order.
 * `up`: it runs to its end, and its `select` finds rows. `check`: the author's own. `verify`: its `verify`
 * finds no row. `twice`: a second `up` changes nothing. `chunks`: small chunks have the result of large ones.
 * `resume`: after two crashes in the middle the result is the same. `rollback`: so it is where chunks are rolled back
 * and tried again in the same process, and `check` finds nothing wrong with it. `down`: after a crash in the middle of it,
 * every seeded row is what it was, and there is no other.
 */
export type CheckName = 'up' | 'check' | 'verify' | 'twice' | 'chunks' | 'resume' | 'rollback' | 'down';

export interface CheckResult {
  readonly name: CheckName;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** What broke and what to do, or why it was skipped; null where it passed. No value but keys of rows. */
  readonly message: string | null;
}

/** What became of a test. */
export interface MigrationTestReport {
  readonly migration: string;
  /** Rows that `select` found. */
  readonly rows: number;
  /** Rows in a chunk of the run that was interrupted. */
  readonly chunkSize: number;
  /** Processes that were ended by SIGKILL in the middle of a chunk, or between two. */
  readonly crashes: number;
  /** Whether a second `up` changed nothing; null where it was not tried. */
  readonly idempotent: boolean | null;
  readonly checks: readonly CheckResult[];
}

/** What became of a test of several files. */
export interface MigrationListReport {
  /** What became of each data migration, tested by itself on what those before it have left; in order. */
  readonly migrations: readonly MigrationTestReport[];
  /**
   * What is asked of the whole: `up`: each runs to its end after those before it; `check`: the author's own, after the
   * last; `down`: rolled back from the last to the first after the last seed, every row is what it was there.
   */
  readonly checks: readonly CheckResult[];
}

/** Thrown where a check failed, with the report, or where the test could not be made, without one. */
export interface MigrationTestError<Report = MigrationTestReport> extends Error {
  readonly name: 'MigrationTestError';
  /** As on the command line: MIGRATION_FAILED, CONFIG, … */
  readonly code: string;
  readonly report: Report | null;
}
