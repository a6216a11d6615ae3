import os from 'node:os';
import path from 'node:path';
import type { Knex } from 'knex';
import type { GivenArg } from '../core/config/args.ts';
import { chooseDatabase, readConnection, schemaIn } from './database.ts';
import type { DatabaseConfig } from './database.ts';
import { readKnexfile } from './knexfile.ts';
import type { Knexfile } from './knexfile.ts';
import { type NotifyConfig, readNotify } from './notify.ts';
import { type TargetsConfig, readTargets } from './targets.ts';
import { type ThrottleConfig, readThrottle, throttleSection } from './throttle.ts';
import { isAsked, readTuning } from './tuning.ts';
import { type LogFormat, logFormatOf } from '../core/config/log-format.ts';
import type { GlobalFlagName } from '../core/config/flags.ts';
import { type Tuning, limitNames } from '../core/config/settings.ts';
import { flagsOfVariables, readGivenArgs } from './variables.ts';
import { fail } from '../errors.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** How a command speaks. Data goes to stdout, everything else to stderr. */
export interface Output {
  readonly json: boolean;
  readonly logFormat: LogFormat;
  readonly logLevel: LogLevel;
  readonly verbose: boolean;
  /** Whether stderr is a terminal on which a bar may be redrawn. */
  readonly progress: boolean;
  readonly color: boolean;
}

/** Everything that may be configured, parsed once and frozen. */
export interface Config {
  readonly cwd: string;
  readonly database: DatabaseConfig;
  /** The targets of the knexfile; null: there are none, or this is the configuration of one of them. */
  readonly targets: TargetsConfig | null;
  /** The one of them that this is the configuration of; null: there is one database alone. */
  readonly target: TargetOfConfig | null;
  /** The author's knexfile environment, without connection, pool, migrations and searchPath. */
  readonly knexConfig: Knex.Config;
  /** Absolute path of the knexfile, or null. */
  readonly knexfile: string | null;
  readonly environment: string;
  /** The folders with the migrations, absolute; their files run in one order, by name. */
  readonly migrationsDirs: readonly string[];
  /** The last of them, in which new migrations are created. */
  readonly migrationsDir: string;
  /** The schema of the ledger; of a target that is a schema, what `core/values/ledger-place` makes of that. */
  readonly ledgerSchema: string;
  /** The table in which knex records migrations, where the knexfile names one; perhaps `schema.name`. */
  readonly knexTable: string | null;
  /** The `schema` of the URL, else the knexfile's `searchPath`, or null. */
  readonly searchPath: readonly string[] | null;
  readonly tuning: Tuning;
  /** Somebody has asked for `tuning.workers`; else it is the most that there may be. */
  readonly areWorkersAsked: boolean;
  /** Who is told what; null: nobody. It may hold functions and secrets: no worker is sent it. */
  readonly notify: NotifyConfig | null;
  /** What holds runs back beside the limits of `tuning`. It may hold functions: no worker is sent it. */
  readonly throttle: ThrottleConfig;
  /** Values for arguments of migrations, some of them perhaps secrets: no worker is sent them, but those of its run. */
  readonly args: readonly GivenArg[];
  readonly output: Output;
}

/** One of several databases or schemas. */
export interface TargetOfConfig {
  readonly name: string;
  /** Its tables are in this schema; null: it is a database. */
  readonly schema: string | null;
  /** Its connection is not that of the knexfile. */
  readonly isElsewhere: boolean;
}

/** Flags that decide configuration; tuning flags as typed, to be parsed here. */
export type FlagName =
  | GlobalFlagName
  | 'arg'
  | 'workers'
  | 'chunk-size'
  | 'target-ms'
  | 'pace'
  | 'max-time'
  | 'grace'
  | 'full-speed';

export interface ConfigInput {
  readonly flags: Readonly<Partial<Record<FlagName, unknown>>>;
  readonly cwd: string;
  /** Default: the process's own. */
  readonly env?: NodeJS.ProcessEnv;
  /** Whether a person looks at stderr. Default: the process's own. */
  readonly isTerminal?: boolean;
  /** `files`: the command opens no database, so none needs to be configured. Default: `database`. */
  readonly needs?: 'database' | 'files';
}

/** Defaults < knexfile < environment < flags, as one frozen value. Throws CONFIG or USAGE. */
export async function loadConfig(input: ConfigInput): Promise<Config> {
  const { cwd, env = process.env } = input;
  const variables = flagsOfVariables(env);
  if (variables.problem !== null) throw variables.problem;
  const given = Object.entries(input.flags).filter(([, value]) => value !== undefined);
  const flags: ConfigInput['flags'] = { ...variables.flags, ...Object.fromEntries(given) };
  const askedEnvironment = text(flags.env);
  const environment = askedEnvironment ?? (env['NODE_ENV'] || 'development');
  const environmentIsAsked = askedEnvironment !== undefined;
  const knexfile = await readKnexfile({ cwd, file: text(flags.knexfile), environment, environmentIsAsked });
  // Before the database: what is wrong on the command line is reported first.
  const sources = {
    cores: os.availableParallelism(),
    knexfile: knexfile.cluster,
    throttle: throttleSection(knexfile),
    knexfileName: knexfile.name,
    env,
    flags,
  };
  const tuning = readTuning(sources);
  const notify = readNotify(knexfile, env);
  const asked = limitNames.filter((name) => isAsked(name, sources));
  const { fullSpeed } = tuning;
  const throttle = readThrottle(knexfile, sources.throttle, { asked, fullSpeed });
  const migrationsDirs = findMigrations(knexfile, text(flags.migrations), cwd);
  const places = {
    migrationsDirs,
    migrationsDir: migrationsDirs.at(-1) as string,
    ledgerSchema: readLedgerSchema(knexfile),
    knexTable: readKnexTable(knexfile),
    searchPath: readSearchPath(knexfile),
  };
  const isNeeded = input.needs !== 'files';
  const request = { env, cwd, environment, embedded: flags.embedded === true };
  const targets = readTargets(knexfile, {
    asked: text(flags.targets) ?? null,
    env,
    isNeeded,
    database: () => chooseDatabase(knexfile, { ...request, isNeeded: true }),
  });
  const database = chooseDatabase(knexfile, { ...request, isNeeded: isNeeded && targets === null });
  const schema = database.kind === 'connection' ? schemaIn(database.connection) : null;
  return Object.freeze({
    cwd,
    knexConfig: authorsKnexConfig(knexfile),
    knexfile: knexfile.path,
    environment,
    ...places,
    ...(schema === null ? {} : { searchPath: Object.freeze([schema]) }),
    tuning,
    areWorkersAsked: isAsked('workers', sources),
    notify,
    throttle,
    args: readGivenArgs(flags.arg, env),
    output: readOutput(flags, env, input.isTerminal ?? process.stderr.isTTY === true),
    database,
    targets,
    target: null,
  });
}

/**
 * The parts of a configuration that may hold functions, from its knexfile: a worker, to which none can be sent, reads
 * it as the primary did, with the environment that was chosen then.
 */
export async function reloadKnexfile(config: Config): Promise<Config> {
  const { cwd, knexfile, environment, database } = config;
  const file = knexfile ?? undefined;
  const own = await readKnexfile({ cwd, file, environment, environmentIsAsked: false });
  const isKnown = database.kind === 'connection';
  return {
    ...config,
    knexConfig: authorsKnexConfig(own),
    database: isKnown ? database : (readConnection(own, process.env) ?? database),
  };
}

function authorsKnexConfig({ settings }: Knexfile): Knex.Config {
  const kept = { ...settings };
  // searchPath would be SET on each connection, and leak to others through PgBouncer.
  for (const key of ['connection', 'pool', 'migrations', 'seeds', 'searchPath']) delete kept[key];
  const client = typeof kept['client'] === 'function' ? kept['client'] : 'pg';
  return Object.freeze({ ...kept, client }) as Knex.Config;
}

/**
 * `migrations.cluster.directory`, or else knex's own. Relative to the knexfile, and of several folders the files in one
 * order, as in knex.
 */
function findMigrations(knexfile: Knexfile, flag: string | undefined, cwd: string): readonly string[] {
  if (flag !== undefined) return Object.freeze([path.resolve(cwd, flag)]);
  const { migrations, cluster, name } = knexfile;
  const isOwn = cluster['directory'] !== undefined;
  const given: unknown = isOwn ? cluster['directory'] : (migrations['directory'] ?? 'migrations');
  const folders: readonly unknown[] = Array.isArray(given) ? given : [given];
  const isPath = (folder: unknown): folder is string => typeof folder === 'string' && folder !== '';
  const ownFolder = "set migrations.cluster.directory to a folder of its own, such as './data-migrations'";
  if (folders.length === 0 || !folders.every(isPath)) {
    throw fail('CONFIG', {
      message: `${name}: migrations.${isOwn ? 'cluster.' : ''}directory must be the path of a folder, or a list of paths`,
      hint: ownFolder,
    });
  }
  if (folders.length > 1 && !isOwn && migrations['sortDirsSeparately'] === true) {
    throw fail('CONFIG', {
      message: `${name}: migrations.sortDirsSeparately is not supported`,
      detail: 'the migrations of all folders run in one order, by name',
      hint: ownFolder,
    });
  }
  const base = knexfile.path === null ? cwd : path.dirname(knexfile.path);
  return Object.freeze([...new Set(folders.map((folder) => path.resolve(base, folder)))]);
}

function readLedgerSchema({ migrations, name }: Knexfile): string {
  const schema = migrations['schemaName'] ?? 'umzug_cluster';
  const isUsable =
    typeof schema === 'string' && /^[^\s"\0]+$/.test(schema) && Buffer.byteLength(schema) <= 63;
  if (isUsable && !/^(?:pg_|information_schema$)/.test(schema)) return schema;
  throw fail('CONFIG', {
    message: `${name}: migrations.schemaName must be the name of a schema of your own`,
    detail: 'at most 63 bytes, no space or quote, not starting with pg_',
  });
}

function readKnexTable({ migrations: { schemaName, tableName } }: Knexfile): string | null {
  const isNamed = typeof tableName === 'string' && tableName !== '';
  const table = isNamed ? tableName : 'knex_migrations';
  if (typeof schemaName === 'string') return `${schemaName}.${table}`;
  return isNamed ? table : null;
}

function readSearchPath({ settings, name }: Knexfile): readonly string[] | null {
  const value = settings['searchPath'];
  if (value === undefined || value === null) return null;
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const schemas = list.filter((schema): schema is string => typeof schema === 'string' && schema !== '');
  if (schemas.length === list.length && schemas.length > 0) return Object.freeze(schemas);
  throw fail('CONFIG', { message: `${name}: searchPath must be a schema or a list of schemas` });
}

function readOutput(flags: ConfigInput['flags'], env: NodeJS.ProcessEnv, isTerminal: boolean): Output {
  const verbose = flags.verbose === true;
  const logFormat = logFormatOf(flags['log-format'], env, isTerminal);
  const isDumb = env['TERM'] === 'dumb';
  return Object.freeze({
    json: flags.json === true,
    logFormat,
    logLevel: readLogLevel(flags['log-level'], verbose),
    verbose,
    progress: isTerminal && !isDumb && !env['CI'] && flags['no-progress'] !== true && logFormat === 'pretty',
    color: wantsColor(env, isTerminal && !isDumb),
  });
}

function readLogLevel(flag: unknown, verbose: boolean): LogLevel {
  const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];
  return levels.find((level) => level === flag) ?? (verbose ? 'debug' : 'info');
}

/** FORCE_COLOR over NO_COLOR, as Node itself does; https://no-color.org: any value but the empty one. */
function wantsColor(env: NodeJS.ProcessEnv, isTerminal: boolean): boolean {
  const forced = env['FORCE_COLOR'];
  if (forced !== undefined) return forced !== '0' && forced !== 'false';
  return env['NO_COLOR'] ? false : isTerminal;
}

function text(flag: unknown): string | undefined {
  return typeof flag === 'string' && flag !== '' ? flag : undefined;
}
