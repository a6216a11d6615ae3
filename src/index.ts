/** What a migration file or an application imports. Light: it is loaded by every migration file. */
export type {
  ChunkContext,
  ChunkLogger,
  Database,
  Down,
  Options,
  SchemaOptions,
  SchemaStep,
  Select,
  SetBasedUpdate,
  Update,
  Verify,
} from './migration/contract/contract.ts';
export { setBased } from './migration/contract/set-based.ts';
export { updateRows } from './migration/update-rows/update-rows.ts';
export { createMigrator } from './application.ts';
export type { CreateMigratorInput } from './application.ts';
export type {
  AdjustedRun,
  DownOptions,
  MigrationOutcome,
  MigrationRef,
  Migrator,
  OperatedRun,
  Operator,
  PlanReport,
  RevertTarget,
  StatusReport,
  UpOptions,
  VerifyReport,
} from './migrator/migrator.ts';
export type { Notification } from './notify/notification.ts';
export type { Progress } from './core/progress/progress.ts';
export { UmzugClusterError } from './errors.ts';
export type { ErrorCode } from './errors.ts';
