import { unusableName, withoutTargets } from '../core/targets/names.ts';
import { redact } from '../core/errors/redact.ts';
import { didYouMean } from '../core/values/names.ts';
import { fail } from '../errors.ts';
import { type DatabaseConfig, connectionOf, refuseHook, schemaIn } from './database.ts';
import type { Knexfile } from './knexfile.ts';
import { loaded } from './load-error.ts';

/** A database that is known. */
export type Reached = Extract<DatabaseConfig, { readonly kind: 'connection' }>;

/** One entry of `migrations.cluster.targets`: a target, or with `schemas` as many as there are schemas. */
export interface TargetEntry {
  /** What messages call it. */
  readonly place: string;
  readonly name: string | null;
  /** Null: the one of the knexfile itself. */
  readonly database: Reached | null;
  readonly schema: string | null;
  /** Patterns of LIKE. */
  readonly schemas: readonly string[];
}

/** What a configuration says of several targets. It may hold functions. */
export interface TargetsConfig {
  readonly place: string;
  /** `--targets`; null: all of them. */
  readonly asked: string | null;
  /** Calls the function that the knexfile may have for them. Throws CONFIG. */
  readonly entries: () => Promise<readonly TargetEntry[]>;
  /** The database of those that name none: the knexfile's own. Throws CONFIG. */
  readonly database: () => DatabaseConfig;
}

export interface TargetsRequest {
  /** `--targets`. */
  readonly asked: string | null;
  readonly env: Env;
  /** The command opens a database. */
  readonly isNeeded: boolean;
  readonly database: () => DatabaseConfig;
}

type Env = Readonly<Record<string, string | undefined>>;

const example = "targets: [{ name: 'a', connection: process.env.URL_A }] or targets: { schemas: 'tenant_%' }";

/** Reads `migrations.cluster.targets`; null: there are none, or `--targets none` leaves them alone. Throws CONFIG, USAGE. */
export function readTargets(
  knexfile: Knexfile,
  { asked, env, isNeeded, database }: TargetsRequest,
): TargetsConfig | null {
  const { cluster, name, path: file } = knexfile;
  const given = cluster['targets'];
  if (asked === withoutTargets) return null;
  if (given === undefined || given === null) {
    if (asked === null || !isNeeded) return null;
    throw fail('USAGE', {
      message: `--targets: ${name} has no targets`,
      hint: `leave it out, or set migrations.cluster.${example}`,
    });
  }
  if (isNeeded) refuseHook(knexfile);
  const place = `${name}: migrations.cluster.targets`;
  if (typeof given !== 'function') {
    const entries = entriesOf(given, place, env);
    return { place, asked, entries: () => Promise.resolve(entries), database };
  }
  const list = async (): Promise<unknown> => await (given as () => unknown)();
  const entries = async (): Promise<readonly TargetEntry[]> =>
    entriesOf(
      await loaded(list(), file ?? name, 'CONFIG', `fix targets in ${name}`),
      `what ${place} returned`,
      env,
    );
  return { place, asked, entries, database };
}

function entriesOf(given: unknown, place: string, env: Env): readonly TargetEntry[] {
  const isOne = typeof given === 'object' && given !== null && !Array.isArray(given);
  if (!isOne && !Array.isArray(given))
    throw malformed(place, 'must be a list of targets, a function that returns one, or { schemas }', given);
  const list: readonly unknown[] = isOne ? [given] : given;
  return list.map((one, index) => entryOf(one, isOne ? place : `${place}[${index}]`, env));
}

const keys = ['name', 'connection', 'schema', 'schemas'];

function entryOf(given: unknown, place: string, env: Env): TargetEntry {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw malformed(place, 'must be an object', given);
  const unknown = Object.keys(given).find((key) => !keys.includes(key));
  if (unknown !== undefined) {
    throw fail('CONFIG', {
      message: `${place}: unknown key "${redact(unknown)}"${didYouMean(unknown, keys)}`,
      detail: `a target has: ${keys.join(', ')}`,
      hint: example,
    });
  }
  const { name, connection, schema, schemas } = given as Readonly<Record<string, unknown>>;
  const database = connectionIn(given, connection, place, env);
  const named = textIn(name, `${place}.name`);
  const inUrl = database === null ? null : schemaIn(database.connection);
  const own = textIn(schema, `${place}.schema`) ?? inUrl;
  const patterns = [schemas ?? []].flat().map((one) => textIn(one, `${place}.schemas`) ?? '');
  if (patterns.length > 0 && own !== null) throw malformed(place, 'has both a schema and schemas', null);
  if (inUrl !== null && own !== inUrl)
    throw malformed(place, 'has a schema, and another one in its URL', null);
  if (patterns.length === 0 && named === null && own === null) throw malformed(place, 'needs a name', null);
  if (own !== null) requireUsableSchema(own, `${place}.schema`);
  if (named !== null) requireUsableName(named, place);
  return { place, name: named ?? null, database, schema: own, schemas: patterns };
}

/** As of the knexfile's own: one that is there and undefined must not be taken for another database. */
function connectionIn(entry: object, connection: unknown, place: string, env: Env): Reached | null {
  if (!('connection' in entry)) return null;
  if (connection === undefined || connection === null || connection === '') {
    throw fail('CONFIG', {
      message: `${place} has a connection that is ${connection === '' ? 'empty' : String(connection)}`,
      hint: 'set the environment variable that it reads',
    });
  }
  return connectionOf(connection, `${place}.connection`, env);
}

function textIn(value: unknown, place: string): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value === 'string' && value !== '') return value;
  throw malformed(place, 'must be a text that is not empty', value);
}

/** Refuses what cannot be typed, or might be a secret. */
export function requireUsableName(name: string, place: string): void {
  const why = unusableName(name);
  if (why === null) return;
  throw fail('CONFIG', {
    message: `${place}: the name of a target ${why}`,
    hint: 'give each target a short name, such as that of its customer',
  });
}

/** The schema of a tenant stands before the names of its ledger. */
export function requireUsableSchema(schema: string, place: string): void {
  if (
    /^[^\s"\0]+$/.test(schema) &&
    Buffer.byteLength(schema) <= 63 &&
    !/^(?:pg_|information_schema$)/.test(schema)
  )
    return;
  throw fail('CONFIG', {
    message: `${place} must be the name of a schema of your own`,
    detail: 'at most 63 bytes, no space or quote, not starting with pg_',
  });
}

function malformed(place: string, what: string, found: unknown): Error {
  return fail('CONFIG', {
    message: `${place} ${what}${found === null ? '' : `: found ${kindOf(found)}`}`,
    hint: example,
  });
}

/** Never the value: it may be a URL. */
function kindOf(found: unknown): string {
  if (Array.isArray(found)) return 'an array';
  return typeof found === 'object' ? 'an object' : found === '' ? 'an empty text' : typeof found;
}
