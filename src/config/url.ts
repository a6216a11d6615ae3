import { readFileSync } from 'node:fs';
import { nearest } from '../core/names.ts';
import { redact, stripControls } from '../core/redact.ts';
import { fail, messageOf } from '../errors.ts';

const example = 'postgres://user@host:5432/database';
const sslModes = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify'];
const files = ['sslcert', 'sslkey', 'sslrootcert'];

// What the driver, its pooler and other clients of the same URL read. A slip in these would go unnoticed, and
// `sslmod=require` would mean no TLS at all.
const parameters = [
  ...files,
  'sslmode',
  'ssl',
  'sslpassword',
  'sslnegotiation',
  'host',
  'port',
  'user',
  'password',
  'dbname',
  'application_name',
  'fallback_application_name',
  'connect_timeout',
  'options',
  'client_encoding',
  'schema',
  'pgbouncer',
  'channel_binding',
  'target_session_attrs',
  'keepalives',
  'uselibpqcompat',
];

/** Names the part of a URL that is wrong; the driver would only say "Invalid URL", or connect elsewhere. */
export function checkUrl(url: string, place: string): void {
  if (url.startsWith('/') || url.startsWith('socket:')) return;
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== 'postgres' && scheme !== 'postgresql' && url.includes('://')) {
    throw fail('CONFIG', {
      message: `${place} is a ${scheme}:// URL: umzug-cluster runs on PostgreSQL only`,
      hint: `give a URL like ${example}`,
    });
  }
  const parsed = scheme === undefined || !url.includes('://') ? null : parseUrl(url);
  const wrong = wrongBeginning(url, scheme) ?? (parsed === null ? wrongPart(url) : wrongInside(parsed));
  if (wrong !== null) {
    throw fail('CONFIG', {
      message: `${place} is not a valid URL: ${wrong}`,
      // Without :// nobody can tell where a password would begin.
      detail: url.includes('://') ? redact(url) : undefined,
      hint: `give a URL like ${example}, with special characters of the password percent-encoded`,
    });
  }
  if (parsed !== null) checkParameters(parsed.searchParams, place);
}

/** Null where it cannot be read. */
export function parseUrl(url: string): URL | null {
  for (const attempt of [url, url.replace('@/', '@localhost/')]) {
    if (URL.canParse(attempt)) return new URL(attempt);
  }
  return null;
}

function wrongBeginning(url: string, scheme: string | undefined): string | null {
  if (scheme !== undefined && url.includes('://')) return null;
  if (/^["'`]/.test(url)) return 'it begins with a quotation mark';
  if (/^\w+=postgres/i.test(url)) return 'it begins with the name of a variable';
  return 'it does not begin with postgres://';
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

function wrongInside({ port, username, password }: URL): string | null {
  if (port === '0') return 'the port is "0"';
  try {
    decodeURIComponent(username + password);
    return null;
  } catch {
    return 'the user or the password has a % that must be percent-encoded, as %25';
  }
}

function checkParameters(given: URLSearchParams, place: string): void {
  for (const name of given.keys()) {
    const meant = parameters.includes(name) ? null : nearest(name, parameters);
    if (meant === null) continue;
    throw fail('CONFIG', {
      message: `${place}: unknown parameter "${stripControls(name)}", did you mean "${meant}"?`,
    });
  }
  const mode = given.get('sslmode');
  if (mode !== null && !sslModes.includes(mode)) {
    throw fail('CONFIG', {
      message: `${place}: sslmode must be one of ${sslModes.join(', ')}: got "${stripControls(mode)}"`,
    });
  }
  for (const name of files) {
    const file = given.get(name);
    if (file !== null) requireReadable(file, `${place}: ${name}`);
  }
}

function requireReadable(file: string, place: string): void {
  try {
    readFileSync(file);
  } catch (cause) {
    throw fail('CONFIG', { message: `${place} cannot be read: ${messageOf(cause)}`, cause });
  }
}
