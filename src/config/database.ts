import { redact } from '../core/redact.ts';
import { fail } from '../errors.ts';
import type { Knexfile } from './knexfile.ts';
import { checkUrl, parseUrl } from './url.ts';

/** What knex takes as `connection`. */
export type Connection = string | object | (() => unknown);

/** Which database is meant; `embedded`: nobody said, so the one that this tool brings. */
export type DatabaseConfig =
  | {
      readonly kind: 'connection';
      readonly connection: Connection;
      /** `host:port/name`, safe to print. */
      readonly label: string;
    }
  | { readonly kind: 'embedded' };

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
      detail: 'umzug-cluster runs on PostgreSQL only: its guarantees rest on row locks and SKIP LOCKED',
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

function isEmpty(connection: unknown): boolean {
  if (connection === undefined || connection === null || connection === '') return true;
  return typeof connection === 'object' && Object.values(connection).every((value) => value === undefined);
}

function connectionOf(connection: unknown, place: string, env: Env): DatabaseConfig {
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
  const url = typeof connection === 'string' ? connection : urlIn(connection);
  if (url !== null) checkUrl(url, place);
  else if (!isFunction) checkObject(connection as object, place);
  return {
    kind: 'connection',
    connection: connection as Connection,
    label: describeDatabase(connection as Connection, env),
  };
}

function urlIn(connection: object): string | null {
  const url = (connection as Record<string, unknown>)['connectionString'];
  return typeof url === 'string' ? url : null;
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
    if (value === undefined || value === null || typeof value === 'string') continue;
    throw fail('CONFIG', { message: `${place}.${name} must be a text: got ${typeof value}` });
  }
}

function isPort(port: unknown): boolean {
  const isWhole = typeof port === 'number' ? Number.isInteger(port) : /^\d{1,5}$/.test(String(port));
  return isWhole && Number(port) >= 1 && Number(port) <= 65_535;
}

/** `host:port/name` of a connection, without user and password; `env` gives pg's own fallbacks. */
export function describeDatabase(connection: Connection, env: Env = {}): string {
  if (typeof connection === 'function') return 'that the connection function names';
  const url = typeof connection === 'string' ? connection : urlIn(connection);
  if (url === null) {
    const { host, port, database, user } = connection as Record<string, unknown>;
    return label(
      host ?? env['PGHOST'],
      port ?? env['PGPORT'],
      database ?? env['PGDATABASE'] ?? user ?? env['PGUSER'],
    );
  }
  const parsed = url.startsWith('/') || url.startsWith('socket:') ? null : parseUrl(url);
  if (parsed === null) return redact(url);
  const query = parsed.searchParams;
  const host = query.get('host') ?? (parsed.hostname || env['PGHOST']);
  const database = decode(parsed.pathname.slice(1)) || env['PGDATABASE'] || decode(parsed.username);
  return label(decode(String(host ?? '')), query.get('port') ?? (parsed.port || env['PGPORT']), database);
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
