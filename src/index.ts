/** What a migration file or an application imports. Light: it is loaded by every migration file. */
export type {
  Arg,
  Args,
  ArgsOf,
  ChunkContext,
  ChunkLogger,
  CompiledQuery,
  Database,
  Down,
  Options,
  SchemaOptions,
  SchemaStep,
  Select,
  SelectContext,
  SetBasedUpdate,
  Update,
  Verify,
} from './migration/contract/contract.ts';
export { setBased } from './migration/contract/set-based.ts';
export { updateRows } from './migration/write-rows/update-rows.ts';
export { pgClient } from './migration/handle/pg-client.ts';
export type { PgClient } from './migration/handle/pg-client.ts';
export { insertRows } from './migration/write-rows/insert-rows.ts';
export { deleteRows } from './migration/write-rows/delete-rows.ts';
export { createMigrator, targetNames } from './application.ts';
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
export type { ThrottleOptions } from './config/throttle.ts';
export type { Notification } from './notify/notification.ts';
export type { Progress } from './core/progress/progress.ts';
export { UmzugClusterError } from './errors.ts';
export type { ErrorCode } from './errors.ts';
