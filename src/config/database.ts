import { redact } from '../core/redact.ts';
import { fail } from '../errors.ts';
import type { Knexfile } from './knexfile.ts';

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
  if (env['DATABASE_URL']) return connectionOf(env['DATABASE_URL'], 'DATABASE_URL', env);
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
  if (port && !(/^\d+$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535)) {
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

/** Names the part of a URL that is wrong; the driver would only say "Invalid URL", or connect elsewhere. */
function checkUrl(url: string, place: string): void {
  if (url.startsWith('/') || url.startsWith('socket:')) return;
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
  const example = 'postgres://user@host:5432/database';
  if (scheme !== undefined && scheme !== 'postgres' && scheme !== 'postgresql' && url.includes('://')) {
    throw fail('CONFIG', {
      message: `${place} is a ${scheme}:// URL: umzug-cluster runs on PostgreSQL only`,
      hint: `give a URL like ${example}`,
    });
  }
  const wrong =
    scheme === undefined || !url.includes('://')
      ? 'it does not begin with postgres://'
      : parseUrl(url) === null
        ? wrongPart(url)
        : null;
  if (wrong === null) return;
  throw fail('CONFIG', {
    message: `${place} is not a valid URL: ${wrong}`,
    // Without :// nobody can tell where a password would begin.
    detail: url.includes('://') ? redact(url) : undefined,
    hint: `give a URL like ${example}, with special characters of the password percent-encoded`,
  });
}

function wrongPart(url: string): string {
  const authority = /^[^:]+:\/\/([^/?#]*)/.exec(url)?.[1] ?? '';
  const hosts = authority.slice(authority.lastIndexOf('@') + 1);
  if (hosts.includes(',')) return 'several hosts are not supported';
  const port = /:([^:\]]*)$/.exec(hosts)?.[1];
  // An unencoded / or # in the password ends the authority early: then the "port" is a piece of the password.
  const isPassword = !authority.includes('@') && url.includes('@');
  if (isPassword) return 'the password has a character that must be percent-encoded';
  if (port !== undefined && !(/^\d*$/.test(port) && Number(port) <= 65_535)) return `the port is "${port}"`;
  return hosts === '' ? 'it has no host' : 'the host or the user cannot be read';
}

function parseUrl(url: string): URL | null {
  for (const attempt of [url, url.replace('@/', '@localhost/')]) {
    if (URL.canParse(attempt)) return new URL(attempt);
  }
  return null;
}

/** `host:port/name` of a connection, without user and password; `env` gives pg's own fallbacks. */
export function describeDatabase(connection: Connection, env: Env = {}): string {
  if (typeof connection === 'function') return 'the database that the connection function names';
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
