import { lstatSync, statSync } from 'node:fs';
import path from 'node:path';
import { type UmzugClusterError, fail } from '../errors.ts';
import { didYouMean, nearest } from '../core/values/names.ts';
import { loaded } from './load-error.ts';
import { typescriptLoader } from './typescript.ts';

type Dictionary = Readonly<Record<string, unknown>>;

/** The author's knexfile, reduced to the one environment that applies. */
export interface Knexfile {
  /** Absolute path, or null: there is none, and `settings` is empty. */
  readonly path: string | null;
  /** What messages call it. */
  readonly name: string;
  readonly settings: Dictionary;
  /** Its `migrations`, checked to be an object. */
  readonly migrations: Dictionary;
  /** Its `migrations.cluster`, checked to be an object. */
  readonly cluster: Dictionary;
}

const fileNames = ['knexfile.ts', 'knexfile.js', 'knexfile.mjs', 'knexfile.cjs'];

// knex's own keys; one that is merely near to these is a slip that knex would pass over in silence.
const configKeys =
  'client connection pool migrations seeds searchPath debug log version asyncStackTraces useNullAsDefault ' +
  'acquireConnectionTimeout wrapIdentifier postProcessResponse compileSqlOnError fetchAsString dialect ' +
  'jsonbSupport userParams';
const migrationKeys =
  'directory schemaName cluster tableName extension stub loadExtensions database name migrationSource ' +
  'disableTransactions disableMigrationsListValidation sortDirsSeparately getNewMigrationName';

export interface KnexfileInput {
  readonly cwd: string;
  /** `--knexfile`, or undefined: look for one in `cwd`. */
  readonly file: string | undefined;
  readonly environment: string;
  /** Whether `--env` named the environment; then it must exist. */
  readonly environmentIsAsked: boolean;
}

/** Finds, loads and checks the knexfile. Throws CONFIG, naming file and key. */
export async function readKnexfile(input: KnexfileInput): Promise<Knexfile> {
  const file = findKnexfile(input);
  if (file === null) {
    return { path: null, name: 'knexfile.ts', settings: {}, migrations: {}, cluster: {} };
  }
  const name = path.relative(input.cwd, file) || path.basename(file);
  const settings = chooseEnvironment(dictionary(await load(file, name), `${name} must export`), name, input);
  refuseSlips(settings, configKeys, name);
  const migrations = dictionary(settings['migrations'] ?? {}, `${name}: migrations must be`);
  refuseSlips(migrations, migrationKeys, name);
  const cluster = dictionary(migrations['cluster'] ?? {}, `${name}: migrations.cluster must be`);
  return { path: file, name, settings, migrations, cluster };
}

function findKnexfile({ cwd, file }: KnexfileInput): string | null {
  if (file === undefined) {
    const name = fileNames.find((candidate) => isThere(path.join(cwd, candidate)));
    return name === undefined ? null : requireFile(path.join(cwd, name));
  }
  return requireFile(path.resolve(cwd, file));
}

function isThere(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false }) !== undefined;
}

function requireFile(file: string): string {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found?.isFile() === true) return file;
  const isLink = found === undefined && isThere(file);
  const message = isLink
    ? `the knexfile ${file} is a broken link`
    : found === undefined
      ? `no knexfile at ${file}`
      : `the knexfile ${file} is not a file`;
  throw fail('CONFIG', { message, hint: 'give a file with --knexfile PATH' });
}

async function load(file: string, name: string): Promise<unknown> {
  const evaluate = async (): Promise<unknown> => {
    const loader = typescriptLoader(path.dirname(file), { interopDefault: false });
    let value: unknown = await loader.import(file);
    if (isDictionary(value) && Object.keys(value).length === 0) throw nothingExported(name);
    // A CommonJS build of an ES module wraps its default twice.
    for (let depth = 0; depth < 2; depth += 1) {
      if (isDictionary(value) && value['default'] !== undefined) value = value['default'];
    }
    return await (typeof value === 'function' ? (value as () => unknown)() : value);
  };
  return await loaded(evaluate(), file, 'CONFIG', 'fix the file, or give another with --knexfile PATH');
}

/** `const config = { … };` and no export: all of it would be passed over in silence. */
function nothingExported(name: string): UmzugClusterError {
  const hint = "export default { client: 'pg', connection, migrations }, or remove the file";
  return fail('CONFIG', { message: `${name} must export a configuration: it exports nothing`, hint });
}

/** knex allows one flat config, or one config for each environment. */
function chooseEnvironment(file: Dictionary, name: string, input: KnexfileInput): Dictionary {
  const { environment, environmentIsAsked } = input;
  const knownKeys = configKeys.split(' ');
  const isOne = Object.hasOwn(file, environment) && !knownKeys.includes(environment);
  const chosen = isOne ? file[environment] : undefined;
  if (chosen !== undefined) return dictionary(chosen, `${name}: environment "${environment}" must be`);
  const isFlat = Object.keys(file).length === 0 || knownKeys.some((key) => key in file);
  if (isFlat && !environmentIsAsked) return file;
  refuseSlips(file, configKeys, name);
  const environments = Object.keys(file).filter((key) => !knownKeys.includes(key));
  throw fail('CONFIG', {
    message: `${name}: no environment "${environment}"${didYouMean(environment, environments)}`,
    detail: isFlat ? 'the file is one flat configuration' : `it has: ${environments.join(', ')}`,
    hint: 'choose with --env NAME or NODE_ENV',
  });
}

function refuseSlips(settings: Dictionary, known: string, name: string): void {
  const names = known.split(' ');
  for (const key of Object.keys(settings)) {
    if (names.includes(key) || nearest(key, names) === null) continue;
    throw fail('CONFIG', { message: `${name}: unknown key "${key}"${didYouMean(key, names)}` });
  }
}

function dictionary(value: unknown, subject: string): Dictionary {
  if (isDictionary(value)) return value;
  const found = value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value;
  throw fail('CONFIG', { message: `${subject} an object: found ${found}` });
}

function isDictionary(value: unknown): value is Dictionary {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
