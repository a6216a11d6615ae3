import type { MigrationListReport, MigrationTest, MigrationTestReport } from './contract.ts';

/** What the test's process and the conductor say to each other. */

/** One step of a seed; functions stay in the test's process and are called by number. */
export type SeedStep =
  | { readonly kind: 'sql'; readonly sql: string }
  | { readonly kind: 'rows'; readonly table: string; readonly rows: readonly object[] }
  | { readonly kind: 'function'; readonly no: number };

/** One step of a list of files. */
export type ListStep =
  | { readonly kind: 'file'; readonly file: string }
  | { readonly kind: 'seed'; readonly seed: readonly SeedStep[] };

/** A test without its functions; unchecked: a test in JavaScript may hold anything. */
export interface TestRequest extends Omit<MigrationTest, 'file' | 'schema' | 'earlier' | 'seed' | 'check'> {
  /** One migration, or a list of them. */
  readonly tested: string | readonly ListStep[];
  readonly schema: readonly SeedStep[];
  readonly earlier: readonly string[];
  readonly seed: readonly SeedStep[];
  /** Number of the function that checks, or null. */
  readonly check: number | null;
}

/** From the test's process. `called` answers `call`: null, or the message of what the function threw. */
export type ToConductor =
  | { readonly type: 'start'; readonly request: TestRequest }
  | { readonly type: 'called'; readonly error: string | null };

/** From the conductor. `call`: run function `no` on this database. */
export type FromConductor =
  | { readonly type: 'call'; readonly no: number; readonly url: string }
  | { readonly type: 'report'; readonly report: MigrationTestReport | MigrationListReport }
  | { readonly type: 'refused'; readonly code: string; readonly message: string };
