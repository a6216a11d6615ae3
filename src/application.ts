import { existsSync } from 'node:fs';
import type { Config, ConfigInput } from './config/config.ts';
import { fail } from './errors.ts';
import type { LogRecord } from './core/config/log-events.ts';
import type { Logger } from './logger.ts';
import type { Migrator } from './migrator/migrator.ts';

/** How an application that migrates at its start says what to run, and where. */
export interface CreateMigratorInput {
  /** Folder that relative paths begin at. Default: the working directory. */
  readonly cwd?: string;
  /** Path of a knexfile. Default: knexfile.ts, .js, .mjs or .cjs in `cwd`, if there is one. */
  readonly knexfile?: string;
  /** Environment of the knexfile. Default: NODE_ENV, then `development`. */
  readonly env?: string;
  /** Database, instead of the configured one: a connection string. */
  readonly databaseUrl?: string;
  /** Folder of the migrations. Default: as in the knexfile, then `migrations`. */
  readonly migrations?: string;
  /** Working processes, this one included. Default: the cores available. */
  readonly workers?: number;
  /** Receives the records. Default: none are written. */
  readonly logger?: Logger;
}

const silent: Logger = {
  debug: (_record: LogRecord) => undefined,
  info: (_record: LogRecord) => undefined,
  warn: (_record: LogRecord) => undefined,
  error: (_record: LogRecord) => undefined,
};

/**
 * Opens a migrator for an application. The caller closes it. Loads the rest of the product only now, since
 * migration files import this module too. Throws CONFIG.
 */
export async function createMigrator(input: CreateMigratorInput = {}): Promise<Migrator> {
  refuseBundle();
  const { loadConfig } = await import('./config/config.ts');
  const { openMigrator } = await import('./migrator/migrator.ts');
  const flags: ConfigInput['flags'] = {
    knexfile: input.knexfile,
    env: input.env,
    migrations: input.migrations,
    workers: input.workers,
  };
  const env = input.databaseUrl === undefined ? {} : { DATABASE_URL: input.databaseUrl };
  const config: Config = await loadConfig({
    flags,
    cwd: input.cwd ?? process.cwd(),
    ...(input.databaseUrl === undefined ? {} : { env: { ...process.env, ...env } }),
  });
  if (config.database.kind !== 'connection') {
    throw fail('CONFIG', {
      message: 'no database is configured',
      hint: 'pass databaseUrl, set DATABASE_URL, or set connection in knexfile.ts',
    });
  }
  return await openMigrator(config, input.logger ?? silent);
}

/**
 * Workers are processes of the package's own files, and migration files import what runs them: neither is there in a
 * bundle. One of CommonJS does not even know where it is.
 */
function refuseBundle(): void {
  // In full: the loader of CommonJS migrations, which load this file too, knows it in no other form.
  const url = import.meta.url as string | undefined;
  const isHere = (file: string): boolean => existsSync(new URL(file, url));
  if (url !== undefined && (isHere('./cluster/worker/worker.js') || isHere('./cluster/worker/worker.ts')))
    return;
  throw fail('CONFIG', {
    message: 'umzug-cluster was bundled into the application',
    detail: `it starts worker processes from its own files, which are missing from the bundle: ${url ?? 'the location of the bundle is unknown'}`,
    hint: 'mark it as external and install it beside the bundle: external: ["umzug-cluster"] (esbuild, Rollup, Vite), externals (webpack), serverExternalPackages (Next.js)',
  });
}
