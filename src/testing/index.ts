/** The kit for authors: tests a migration as it will be run, crashes included. */
export { testMigration } from './client.cts';
export type {
  CheckName,
  CheckResult,
  MigrationTest,
  MigrationTestError,
  MigrationTestReport,
  Seed,
} from './contract/contract.ts';
