/** The kit for authors: tests a migration as it will be run, crashes included. */
export { testMigration } from './client.cts';
export type {
  CheckName,
  CheckResult,
  MigrationListReport,
  MigrationListTest,
  MigrationTest,
  MigrationTestError,
  MigrationTestReport,
  Seed,
  SeedBetween,
} from './contract/contract.ts';
