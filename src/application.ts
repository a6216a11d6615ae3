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
  /** The one of the knexfile's targets to work on, by its name (see `targetNames`); needed where it has targets. */
  readonly target?: string;
  /** Folder of the migrations. Default: as in the knexfile, then `migrations`. */
  readonly migrations?: string;
  /** Values for arguments that migrations declare, by name, or by `migration:name`. Default: none. */
  readonly args?: Readonly<Record<string, string | number | boolean>>;
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
  const { openMigrator } = await import('./migrator/migrator.ts');
  const config = await oneTarget(await configOf(input), input.target);
  if (config.database.kind !== 'connection') {
    throw fail('CONFIG', {
      message: 'no database is configured',
      hint: 'pass databaseUrl, set DATABASE_URL, or set connection in knexfile.ts',
    });
  }
  return await openMigrator(config, input.logger ?? silent);
}

/** The names of the knexfile's targets, in order: for each, `createMigrator({ target })`. Throws CONFIG. */
export async function targetNames(input: CreateMigratorInput = {}): Promise<readonly string[]> {
  refuseBundle();
  const config = await configOf(input);
  if (config.targets === null) return [];
  const { resolveTargets } = await import('./targets/resolve.ts');
  return (await resolveTargets(config, config.targets)).map(({ name }) => name);
}

async function configOf(input: CreateMigratorInput): Promise<Config> {
  const { loadConfig } = await import('./config/config.ts');
  const flags: ConfigInput['flags'] = {
    knexfile: input.knexfile,
    env: input.env,
    migrations: input.migrations,
    workers: input.workers,
    targets: input.target,
    arg: Object.entries(input.args ?? {}).map(([name, value]) => `${name}=${String(value)}`),
  };
  const env = input.databaseUrl === undefined ? {} : { DATABASE_URL: input.databaseUrl };
  return await loadConfig({
    flags,
    cwd: input.cwd ?? process.cwd(),
    ...(input.databaseUrl === undefined ? {} : { env: { ...process.env, ...env } }),
  });
}

/** Of several targets the one that is meant: none is by default. */
async function oneTarget(config: Config, target: string | undefined): Promise<Config> {
  if (config.targets === null) return config;
  const { resolveTargets } = await import('./targets/resolve.ts');
  const found = target === undefined ? [] : await resolveTargets(config, config.targets);
  const [only] = found;
  if (only !== undefined && found.length === 1) return only.config;
  throw fail('CONFIG', {
    message: `the knexfile has targets, and ${target === undefined ? 'none is named' : `"${target}" means several`}`,
    hint: 'make a migrator for each: createMigrator({ target }), with each of the names that targetNames() returns',
  });
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
