import { readFileSync } from 'node:fs';
import { didYouMean } from '../core/values/names.ts';
import { stripControls } from '../core/errors/redact.ts';
import { type UmzugClusterError, fail, messageOf } from '../errors.ts';

const example = 'postgres://user@host:5432/database';
const files = ['sslcert', 'sslkey', 'sslrootcert'];

// What the driver or this tool does as the parameter says, with the values for which that is so; null: any.
const honoured: Readonly<Record<string, readonly string[] | null>> = {
  sslmode: ['disable', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify'],
  ssl: ['true', '1', '0', 'no-verify'],
  sslcert: null,
  sslkey: null,
  sslrootcert: null,
  sslnegotiation: ['postgres', 'direct'],
  host: null,
  port: null,
  user: null,
  password: null,
  application_name: null,
  fallback_application_name: null,
  options: null,
  client_encoding: ['utf8', 'UTF8', 'utf-8', 'UTF-8', 'auto'],
  schema: null,
  target_session_attrs: ['any', 'read-write', 'primary'],
  channel_binding: ['disable', 'prefer', 'require'],
  gssencmode: ['disable', 'prefer'],
};

// What other clients of the same URL do with their connections. It decides neither the database nor who may listen.
const withoutEffect = [
  'connect_timeout',
  'connection_limit',
  'pool_timeout',
  'socket_timeout',
  'statement_cache_size',
  'pgbouncer',
  'keepalives',
  'keepalives_idle',
  'keepalives_interval',
  'keepalives_count',
  'uselibpqcompat',
];

/** Names the part of a URL that is wrong; the driver would only say "Invalid URL", or connect elsewhere. */
export function checkUrl(url: string, place: string): void {
  if (url.startsWith('/') || url.startsWith('socket:')) return;
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase() ?? '';
  if (url.includes('://') && !['', 'postgres', 'postgresql'].includes(scheme)) {
    throw fail('CONFIG', {
      message: `${place} is a ${scheme}:// URL: umzug-cluster runs on PostgreSQL only`,
      hint: `give a URL like ${example}`,
    });
  }
  const wrong = isPostgresUrl(url) ? wrongPart(url) : wrongBeginning(url);
  if (wrong !== null) {
    throw fail('CONFIG', {
      message: `${place} is not a valid URL: ${wrong}`,
      hint: `give a URL like ${example}, with special characters of the user and the password percent-encoded`,
    });
  }
  const [first = url] = hostsOf(url);
  checkParameters(parseUrl(first)?.searchParams ?? new URLSearchParams(), place);
}

/** Whether it begins as one; others are the folder of a socket, or wrong. */
export function isPostgresUrl(url: string): boolean {
  return /^postgres(?:ql)?:\/\//i.test(url);
}

/** Null where it cannot be read. */
export function parseUrl(url: string): URL | null {
  for (const attempt of [url, url.replace('@/', '@localhost/')]) {
    if (URL.canParse(attempt)) return new URL(attempt);
  }
  return null;
}

/** One URL for each host, in the order in which libpq tries them: `h1:5432,h2:5433`, or `?host=h1,h2&port=…`. */
export function hostsOf(url: string): readonly string[] {
  const [, login = '', hosts = '', rest = ''] = /^(\w+:\/\/(?:[^/?#]*@)?)([^/?#]*)(.*)$/s.exec(url) ?? [];
  if (hosts.includes(',')) return hosts.split(',').map((host) => `${login}${host}${rest}`);
  const parsed = parseUrl(url);
  const named = parsed?.searchParams.get('host')?.split(',') ?? [];
  if (parsed === null || named.length < 2) return [url];
  const ports = parsed.searchParams.get('port')?.split(',') ?? [];
  return named.map((host, index) => {
    const one = new URL(parsed);
    one.searchParams.set('host', host);
    const port = ports.length === 1 ? ports[0] : ports[index];
    if (port !== undefined) one.searchParams.set('port', port);
    return one.href;
  });
}

/** A parameter of a URL of Postgres; null where the URL is none, or does not have it. */
export function parameterOf(url: string, name: string): string | null {
  const [first = url] = hostsOf(url);
  return parseUrl(first)?.searchParams.get(name) ?? null;
}

function wrongBeginning(url: string): string {
  if (/^["'`]/.test(url)) return 'it starts with a quotation mark';
  if (/^\w+=postgres/i.test(url)) return 'it starts with the name of a variable';
  return 'it does not start with postgres://';
}

// Each sentence without a value: where a URL is not what it should be, any part of it may be one of a password.
const unencoded = 'the user or the password has a character that must be percent-encoded';

/**
 * An unencoded /, ? or # in a password ends the part with the host early: what the driver would call host and port
 * are then the user and a piece of the password, and the @ that should end the password comes later.
 */
function wrongPart(url: string): string | null {
  if (/^[^:]+:\/\/[^/?#]*[/?#][^]*@/.test(url))
    return `${unencoded}, or an @ after the host that must be %40`;
  for (const one of hostsOf(url)) {
    const host = /^[^:]+:\/\/(?:[^/?#]*@)?([^/?#]*)/.exec(one)?.[1] ?? '';
    if (hostsOf(url).length > 1 && host === '' && parameterOf(one, 'host') === null)
      return 'one of its hosts is empty';
    const port = /:([^:\]]*)$/.exec(host)?.[1] || parameterOf(one, 'port');
    if (port && !isPort(port)) return 'the port is not a whole number from 1 to 65535';
    const parsed = parseUrl(one);
    if (parsed === null) return host === '' ? 'it has no host' : 'the host or the user cannot be read';
    if (parsed.hash !== '') return 'it has a # that must be percent-encoded, as %23';
    const { username, password, hostname, pathname } = parsed;
    if (!isDecodable(username + password))
      return 'the user or the password has a % that must be percent-encoded, as %25';
    if (!isDecodable(hostname) || !isDecodable(pathname))
      return 'the host or the database has a % that must be percent-encoded, as %25';
  }
  return null;
}

/** Whether it is one that a server can have. */
export function isPort(port: unknown): boolean {
  const isWhole = typeof port === 'number' ? Number.isInteger(port) : /^\d{1,5}$/.test(String(port));
  return isWhole && Number(port) >= 1 && Number(port) <= 65_535;
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

function checkParameters(given: URLSearchParams, place: string): void {
  for (const [name, value] of given) {
    if (withoutEffect.includes(name)) continue;
    if (!Object.hasOwn(honoured, name)) throw unknownParameter(name, given, place);
    const values = honoured[name] ?? null;
    if (values === null || values.includes(value)) continue;
    throw fail('CONFIG', {
      message: `${place}: ${name} must be one of ${values.join(', ')}: got "${stripControls(value)}"`,
    });
  }
  for (const name of files) {
    const file = given.get(name);
    if (file !== null) requireReadable(file, name, place);
  }
}

/** What would be passed over in silence: `sslmod=require` would mean no TLS at all, `dbname` another database. */
function unknownParameter(name: string, given: URLSearchParams, place: string): UmzugClusterError {
  // An & that is not encoded ends a password there.
  if (given.has('password')) {
    return fail('CONFIG', {
      message: `${place}: unknown parameter, or the password has an & that must be %26`,
    });
  }
  const known = Object.keys(honoured);
  const hints: Readonly<Record<string, string>> = {
    socket: 'give the folder of the socket: ?host=/var/run/postgresql',
    dbname: `name the database as in ${example}`,
  };
  return fail('CONFIG', {
    message: `${place}: unknown parameter "${stripControls(name)}"${didYouMean(name, known)}`,
    hint: Object.hasOwn(hints, name) ? hints[name] : 'remove it: it would have no effect here',
  });
}

function requireReadable(file: string, name: string, place: string): void {
  if (name === 'sslrootcert' && file === 'system') {
    throw fail('CONFIG', {
      message: `${place}: sslrootcert=system is not supported`,
      hint: 'leave it out: sslmode=verify-full trusts the authorities that Node.js knows, and NODE_EXTRA_CA_CERTS adds others',
    });
  }
  try {
    readFileSync(file);
  } catch (cause) {
    throw fail('CONFIG', { message: `${place}: ${name} cannot be read: ${messageOf(cause)}`, cause });
  }
}
