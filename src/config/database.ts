import { existsSync } from 'node:fs';
import path from 'node:path';
import { redact } from '../core/errors/redact.ts';
import { fail } from '../errors.ts';
import type { Knexfile } from './knexfile.ts';
import { checkUrl, hostsOf, isPort, isPostgresUrl, parameterOf, parseUrl } from './url.ts';

/** What knex takes as `connection`. */
export type Connection = string | object | (() => unknown);

/** Which database is meant; `embedded`: the server that this tool brings; `none`: nobody said, and none is needed. */
export type DatabaseConfig =
  | {
      readonly kind: 'connection';
      readonly connection: Connection;
      /** `host:port/name`, safe to print. */
      readonly label: string;
    }
  | { readonly kind: 'embedded' | 'none' };

/** What the database is called wherever people read it. */
export function databaseLabel(database: DatabaseConfig): string {
  return database.kind === 'connection' ? database.label : 'embedded';
}

type Env = Readonly<Record<string, string | undefined>>;

/**
 * DATABASE_URL, else the knexfile's connection, else PGHOST, PGPORT, PGDATABASE; null: none of them. pg itself
 * fills gaps in the knexfile's connection from PG*, so a knexfile without host still follows PGHOST.
 */
export function readConnection(knexfile: Knexfile, env: Env): DatabaseConfig | null {
  const client = knexfile.settings['client'] ?? 'pg';
  const clientIsPostgres =
    typeof client === 'function' || ['pg', 'postgres', 'postgresql'].includes(String(client));
  if (!clientIsPostgres) {
    throw fail('CONFIG', {
      message: `${knexfile.name}: client must be 'pg': got '${redact(String(client))}'`,
      detail: 'umzug-cluster runs on PostgreSQL only: its guarantees depend on row locks and SKIP LOCKED',
    });
  }
  const fromKnexfile = knexfile.settings['connection'];
  // A file that a secret is read from ends with a newline.
  const url = env['DATABASE_URL']?.trim() || env['DATABASE_URL'];
  if (url) return connectionOf(url, 'DATABASE_URL', env);
  if (!isEmpty(fromKnexfile)) return connectionOf(fromKnexfile, `${knexfile.name}: connection`, env);
  if (env['PGHOST'] || env['PGPORT'] || env['PGDATABASE'])
    return connectionOf(fromVariables(env), 'PG*', env);
  return null;
}

/** Where a database is looked for, and who asks. */
export interface DatabaseRequest {
  readonly env: Env;
  readonly cwd: string;
  /** Of the knexfile. */
  readonly environment: string;
  /** `--embedded`. */
  readonly embedded: boolean;
  /** The command opens a database. */
  readonly isNeeded: boolean;
}

/**
 * The configured database, or the embedded server where the project asks for it: a deploy whose secret is missing must
 * not migrate an empty database and report success. Throws CONFIG.
 */
export function chooseDatabase(knexfile: Knexfile, request: DatabaseRequest): DatabaseConfig {
  const { env, cwd, environment, embedded, isNeeded } = request;
  const isProduction = environment === 'production' || env['NODE_ENV'] === 'production';
  const isAsked = readEmbedded(knexfile);
  if (embedded) refuseEmbedded(env, isProduction);
  if (isNeeded) refuseUnusable(knexfile, request);
  const configured = readConnection(knexfile, env);
  if (embedded) return Object.freeze({ kind: 'embedded' });
  if (configured !== null) return Object.freeze(configured);
  if (isAsked && !isProduction) return Object.freeze({ kind: 'embedded' });
  if (!isNeeded) return Object.freeze({ kind: 'none' });
  throw fail('CONFIG', {
    message: 'no database is configured',
    detail: isAsked ? 'the embedded server is never used in production' : unreadEnvFile(cwd),
    hint: `set DATABASE_URL, or connection in ${knexfile.name}${isProduction ? '' : '; to try it on a server of this folder’s own, add --embedded'}`,
  });
}

function readEmbedded({ cluster, name }: Knexfile): boolean {
  const value = cluster['embedded'] ?? false;
  if (typeof value === 'boolean') return value;
  throw fail('CONFIG', { message: `${name}: migrations.cluster.embedded must be true or false` });
}

function refuseEmbedded(env: Env, isProduction: boolean): void {
  if (isProduction) {
    throw fail('CONFIG', {
      message: 'the embedded server is never used in production',
      hint: 'leave out --embedded, and set DATABASE_URL',
    });
  }
  if (!env['DATABASE_URL']) return;
  throw fail('CONFIG', {
    message: '--embedded and DATABASE_URL name two databases',
    hint: 'leave out --embedded, or unset DATABASE_URL',
  });
}

/** What a person may have taken for granted. */
function unreadEnvFile(cwd: string): string | undefined {
  if (!existsSync(path.join(cwd, '.env'))) return undefined;
  return 'the file .env is not read: node --env-file=.env node_modules/umzug-cluster/dist/cli.js up';
}

/**
 * Refuses what knex would heed and this tool cannot: a connection that is there and undefined, since another database
 * would be migrated than the one that was meant, and what `refuseHook` does.
 */
function refuseUnusable(knexfile: Knexfile, request: DatabaseRequest): void {
  const { settings, name } = knexfile;
  const { env, cwd, environment, embedded } = request;
  const { connection } = settings;
  const isMeant = 'connection' in settings && !embedded && !env['DATABASE_URL'];
  const missing = isMeant ? missingIn(connection, env) : null;
  if (missing !== null) {
    throw fail('CONFIG', {
      message: `${name}: environment "${environment}" has a connection ${missing}`,
      detail: unreadEnvFile(cwd),
      hint: 'set the environment variable that it reads, or DATABASE_URL',
    });
  }
  refuseHook(knexfile);
}

/** Refuses a hook that sets up connections. */
export function refuseHook({ settings: { pool }, name }: Knexfile): void {
  if (typeof pool !== 'object' || pool === null || !(pool as { afterCreate?: unknown }).afterCreate) return;
  throw fail('CONFIG', {
    message: `${name}: pool.afterCreate is not called on the connections of this tool`,
    detail: 'with a pooler, session settings would be lost or leak to other clients',
    hint: 'set searchPath instead, or put the settings into the URL as ?options=-c%20timezone%3DUTC, and give this tool a knexfile without the hook: --knexfile PATH',
  });
}

// The parts of a connection that decide the database, with the variables from which pg fills them.
const deciding = [
  ['connectionString', ['PGHOST', 'PGPORT', 'PGDATABASE']],
  ['host', ['PGHOST']],
  ['database', ['PGDATABASE']],
] as const;

/** What a connection lacks that was meant to be there, as the end of a sentence; null: nothing. */
function missingIn(connection: unknown, env: Env): string | null {
  const isSet = (name: string): boolean => Boolean(env[name]);
  if (typeof connection !== 'object' || connection === null) {
    if (!isEmpty(connection)) return null;
    return `that is ${connection === '' ? 'empty' : connection === null ? 'null' : 'undefined'}`;
  }
  const parts = connection as Readonly<Record<string, unknown>>;
  // `{}` says nothing at all; of others, what is left out is filled from PG*.
  if (Object.keys(parts).length === 0) return null;
  if (isEmpty(connection)) {
    return ['PGHOST', 'PGPORT', 'PGDATABASE'].some(isSet) ? null : 'that is undefined';
  }
  const isGiven = (part: string): boolean => parts[part] !== undefined && parts[part] !== '';
  if (isGiven('connectionString')) return null;
  const gap = deciding.find(([part, variables]) => {
    const isFilled = variables.some(isSet) || (part === 'connectionString' && isGiven('host'));
    return part in parts && !isGiven(part) && !isFilled;
  });
  return gap === undefined ? null : `whose ${gap[0]} is ${parts[gap[0]] === '' ? 'empty' : 'undefined'}`;
}

function isEmpty(connection: unknown): boolean {
  if (connection === undefined || connection === null || connection === '') return true;
  return typeof connection === 'object' && Object.values(connection).every((value) => value === undefined);
}

/** A connection as it was written at a place. Throws CONFIG. */
export function connectionOf(
  connection: unknown,
  place: string,
  env: Env,
): Extract<DatabaseConfig, { readonly kind: 'connection' }> {
  const isFunction = typeof connection === 'function';
  if (
    !isFunction &&
    typeof connection !== 'string' &&
    (typeof connection !== 'object' || connection === null)
  ) {
    throw fail('CONFIG', {
      message: `${place} must be a URL, an object or a function: got ${typeof connection}`,
    });
  }
  const url = urlIn(connection);
  if (url !== null) checkUrl(url, place);
  else if (!isFunction) checkObject(connection as object, place);
  return {
    kind: 'connection',
    connection: connection as Connection,
    label: describeDatabase(connection as Connection, env),
  };
}

/** The URL of a connection, where it is or has one. */
export function urlIn(connection: unknown): string | null {
  if (typeof connection === 'string') return connection;
  if (typeof connection !== 'object' || connection === null) return null;
  const url = (connection as Record<string, unknown>)['connectionString'];
  return typeof url === 'string' ? url : null;
}

/** The schema that a URL names for its tables, as Prisma writes it; null: none. */
export function schemaIn(connection: unknown): string | null {
  const url = urlIn(connection);
  return url === null ? null : parameterOf(url, 'schema') || null;
}

function fromVariables(env: Env): object {
  const port = env['PGPORT'];
  if (port && !isPort(port)) {
    throw fail('CONFIG', { message: `PGPORT must be a whole number from 1 to 65535: got "${redact(port)}"` });
  }
  const given = {
    host: env['PGHOST'],
    port: port ? Number(port) : undefined,
    user: env['PGUSER'],
    password: env['PGPASSWORD'],
    database: env['PGDATABASE'],
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined && value !== ''));
}

/** Numbers and texts where the driver wants them: `Number(undefined)` as port would be taken for 5432. */
function checkObject(connection: object, place: string): void {
  const given = connection as Readonly<Record<string, unknown>>;
  const { port } = given;
  if (port !== undefined && port !== null && port !== '' && !isPort(port)) {
    throw fail('CONFIG', {
      message: `${place}.port must be a whole number from 1 to 65535: got ${JSON.stringify(port) === 'null' ? String(port) : redact(JSON.stringify(port) ?? typeof port)}`,
    });
  }
  for (const name of ['host', 'user', 'database']) {
    const value = given[name];
    if (value === undefined || value === null) continue;
    if (name === 'host' && String(value).includes(',')) {
      throw fail('CONFIG', {
        message: `${place}.host lists several hosts`,
        hint: 'give them in a URL: postgres://user@host1:5432,host2:5432/database',
      });
    }
    if (typeof value === 'string') continue;
    throw fail('CONFIG', { message: `${place}.${name} must be a string: got ${typeof value}` });
  }
}

/** `host:port/name` of a connection, without user and password; `env` gives pg's own fallbacks. */
export function describeDatabase(connection: Connection, env: Env = {}): string {
  if (typeof connection === 'function') return 'that the connection function returns';
  const url = urlIn(connection);
  if (url === null) {
    const { host, port, database, user } = connection as Record<string, unknown>;
    return label(
      host ?? env['PGHOST'],
      port ?? env['PGPORT'],
      database ?? env['PGDATABASE'] ?? user ?? env['PGUSER'],
    );
  }
  const parsed = hostsOf(url).map(parseUrl);
  const [first] = parsed;
  if (!isPostgresUrl(url) || !first) {
    const [folder, database] = url.split(' ');
    return url.startsWith('/')
      ? label(folder, '', database)
      : label(first?.pathname, '', first?.searchParams.get('db'));
  }
  const database = decode(first.pathname.slice(1)) || env['PGDATABASE'] || decode(first.username);
  const hosts = parsed.map((one) => {
    const host = one?.searchParams.get('host') ?? (one?.hostname || env['PGHOST']);
    return label(decode(host ?? ''), one?.searchParams.get('port') ?? (one?.port || env['PGPORT']), '');
  });
  return database ? redact(`${hosts.join(',')}/${database}`) : hosts.join(',');
}

function label(host: unknown, port: unknown, database: unknown): string {
  return redact(
    `${String(host || 'localhost')}:${String(port || 5432)}${database ? `/${String(database)}` : ''}`,
  );
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
