import type * as esm from './index.ts' with { 'resolution-mode': 'import' };

/**
 * What CommonJS requires where it cannot require an ES module, as under jest: copies of what migration files use, made
 * by a second compilation. Node itself never comes here: it takes `index.js` for both.
 */
const { setBased } = require('./cjs/migration/contract/set-based.js') as Pick<typeof esm, 'setBased'>;
const { updateRows } = require('./cjs/migration/write-rows/update-rows.js') as Pick<typeof esm, 'updateRows'>;
const { insertRows } = require('./cjs/migration/write-rows/insert-rows.js') as Pick<typeof esm, 'insertRows'>;
const { deleteRows } = require('./cjs/migration/write-rows/delete-rows.js') as Pick<typeof esm, 'deleteRows'>;
const { pgClient } = require('./cjs/migration/handle/pg-client.js') as Pick<typeof esm, 'pgClient'>;
const { UmzugClusterError } = require('./cjs/errors.js') as Pick<typeof esm, 'UmzugClusterError'>;

const createMigrator: typeof esm.createMigrator = async (input) => {
  const { createMigrator: open } = await import('./index.ts');
  return await open(input);
};

const targetNames: typeof esm.targetNames = async (input) => {
  const { targetNames: names } = await import('./index.ts');
  return await names(input);
};

const api = {
  setBased,
  updateRows,
  insertRows,
  deleteRows,
  pgClient,
  UmzugClusterError,
  createMigrator,
  targetNames,
};

// oxlint-disable-next-line typescript/no-namespace -- the only way to give types along with `export =`
declare namespace api {
  export type AdjustedRun = esm.AdjustedRun;
  export type ChunkContext = esm.ChunkContext;
  export type ChunkLogger = esm.ChunkLogger;
  export type CreateMigratorInput = esm.CreateMigratorInput;
  export type Database = esm.Database;
  export type Down<Row extends object = any> = esm.Down<Row>;
  export type CompiledQuery = esm.CompiledQuery;
  export type DownOptions = esm.DownOptions;
  export type ErrorCode = esm.ErrorCode;
  export type Notification = esm.Notification;
  export type MigrationOutcome = esm.MigrationOutcome;
  export type MigrationRef = esm.MigrationRef;
  export type Migrator = esm.Migrator;
  export type OperatedRun = esm.OperatedRun;
  export type Operator = esm.Operator;
  export type Options = esm.Options;
  export type PgClient = esm.PgClient;
  export type PlanReport = esm.PlanReport;
  export type RevertTarget = esm.RevertTarget;
  export type Progress = esm.Progress;
  export type SchemaOptions = esm.SchemaOptions;
  export type SchemaStep = esm.SchemaStep;
  export type Select<Row extends object = any> = esm.Select<Row>;
  export type SetBasedUpdate = esm.SetBasedUpdate;
  export type StatusReport = esm.StatusReport;
  export type UmzugClusterError = esm.UmzugClusterError;
  export type Update<Row extends object = any> = esm.Update<Row>;
  export type UpOptions = esm.UpOptions;
  export type Verify = esm.Verify;
  export type VerifyReport = esm.VerifyReport;
}

// @ts-expect-error TS1294 is for files that Node may run as they stand; this one is always compiled.
export = api;
