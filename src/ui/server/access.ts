import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';
import type { Refused } from '../api/contract.ts';

/** Who may do what. */
export interface Access {
  /** Whoever knows it may do everything; null: nobody may change anything. */
  readonly token: string | null;
  /** Whoever can reach the server may look; then it can only be reached from this host. */
  readonly isOpen: boolean;
  readonly basePath: string;
  /** Pages of other databases on this host have other cookies. */
  readonly cookie: string;
}

const policy = [
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:",
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
].join('; ');

/** The headers of every answer: nothing is loaded from elsewhere, and no other page shows this one. */
export const secureHeaders: MiddlewareHandler = async (c, next) => {
  await next();
  const headers = {
    'content-security-policy': policy,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-resource-policy': 'same-origin',
  };
  for (const [name, value] of Object.entries(headers)) {
    if (!c.res.headers.has(name)) c.res.headers.set(name, value);
  }
};

/** The refusal of a request. */
export function refuse(
  c: Context,
  status: 400 | 401 | 403 | 404 | 409 | 500 | 503,
  refused: Refused,
): Response {
  return c.json(refused, status);
}

const loopback = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i;

/** Whether a name of a host is that of this host alone. */
export function isLoopback(host: string): boolean {
  return loopback.test(host.includes(':') && !host.startsWith('[') ? `[${host}]` : host);
}

/**
 * Without a token, only requests that name this host: a page of elsewhere whose name is made to point here (DNS
 * rebinding) has its own name there.
 */
export function namesThisHost({ isOpen }: Access): MiddlewareHandler {
  return async (c, next) => {
    if (isOpen && !loopback.test(c.req.header('host') ?? '')) {
      return refuse(c, 403, {
        error: 'the request names another host than this one',
        hint: 'open the page by the URL that ui has printed; behind a proxy, start ui with a token',
      });
    }
    return await next();
  };
}

/** Only requests of the page itself change anything. */
export const sameSite: MiddlewareHandler = async (c, next) => {
  const site = c.req.header('sec-fetch-site');
  const origin = c.req.header('origin');
  const isSame =
    site === undefined
      ? origin === undefined || hostOf(origin) === (c.req.header('x-forwarded-host') ?? c.req.header('host'))
      : site === 'same-origin';
  const isOwn = c.req.header('x-umzug-cluster') === '1';
  const isJson = c.req.header('content-type')?.startsWith('application/json') === true;
  if (isSame && isOwn && isJson) return await next();
  return refuse(c, 403, { error: 'the request does not come from the page', hint: null });
};

function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null;
}

/** What the cookie holds instead of the token; it stays the same when the server is started again. */
const sessionOf = (token: string): string =>
  createHmac('sha256', token).update('session').digest('base64url');

function isEqual(given: string, expected: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

/** Lets those pass who may look. */
export function mayLook(access: Access): MiddlewareHandler {
  return async (c, next) => {
    if (access.isOpen || isSignedIn(c, access)) return await next();
    const hint = 'give the token with which ui was started';
    return refuse(c, 401, { error: 'this page needs its token', hint });
  };
}

/** Lets those pass who know the token: other users of this host may look, no more. */
export function mayChange(access: Access): MiddlewareHandler {
  return async (c, next) => {
    if (access.token === null) return refuse(c, 403, { error: 'this page is read-only', hint: null });
    if (isSignedIn(c, access)) return await next();
    const hint = 'open the page by the whole URL that umzug-cluster ui has printed';
    return refuse(c, 401, { error: 'nothing is changed without the token of this page', hint });
  };
}

function isSignedIn(c: Context, { token, cookie }: Access): boolean {
  if (token === null) return false;
  const [, bearer] = /^Bearer (.+)$/i.exec(c.req.header('authorization') ?? '') ?? [];
  if (bearer !== undefined) return isEqual(bearer, token);
  return isEqual(getCookie(c, cookie) ?? '', sessionOf(token));
}

/** Exchanges the token for a cookie that no script can read. */
export function signIn(c: Context, { token, basePath, cookie }: Access, given: unknown): Response {
  if (token !== null) {
    if (typeof given !== 'string' || !isEqual(given, token))
      return refuse(c, 401, { error: 'this is not the token', hint: null });
    const isSecure = c.req.header('x-forwarded-proto') === 'https';
    setCookie(c, cookie, sessionOf(token), {
      path: `${basePath}/`,
      httpOnly: true,
      sameSite: 'Strict',
      secure: isSecure,
    });
  }
  return c.body(null, 204);
}
