import { type Context, Hono } from 'hono';
import { UmzugClusterError } from '../../errors.ts';
import { bodyLimit } from 'hono/body-limit';
import { stripControls } from '../../core/errors/redact.ts';
import type { Choice, Refused } from '../api/contract.ts';
import type { Feed } from '../api/feed.ts';
import type { Look } from '../api/reading.ts';
import {
  type Access,
  mayChange,
  mayLook,
  namesThisHost,
  refuse,
  sameSite,
  secureHeaders,
  signIn,
} from './access.ts';
import type { Act } from './actions.ts';
import { sendEvents } from './events.ts';
import { documentPolicy } from '../report/html.ts';
import { runReport } from '../report/run-report.ts';
import { metricsOf } from './metrics.ts';
import { type PageFiles, sendFile } from './files.ts';

/** One database that is shown. */
export interface Shown {
  /** Part of its paths. */
  readonly id: string;
  readonly label: string;
  readonly feed: Feed;
  /** Null: nothing can be changed. */
  readonly act: Act | null;
}

export interface Site {
  readonly access: Access;
  readonly files: PageFiles;
  /** One, or several targets. */
  readonly databases: readonly Shown[];
  /** How all of several targets stand; null: there is one database. */
  readonly choose: (() => Promise<Choice>) | null;
  /** The header in which a proxy names the user; null: none does. */
  readonly userHeader: string | null;
  /** Is told of what should not happen. */
  readonly failed: (error: Error) => void;
}

/** Everything that the server answers. */
export function makeApp({ access, files, databases, choose, userHeader, failed }: Site): Hono {
  const app = new Hono({ getPath: (request) => pathWithin(access.basePath, new URL(request.url).pathname) });
  app.onError((error, c) => {
    if (!(error instanceof UmzugClusterError)) failed(error);
    return refuseError(c, error);
  });
  app.use(secureHeaders, namesThisHost(access));
  app.on('POST', '/api/*', sameSite, bodyLimit({ maxSize: mostBytes }));
  app.post('/api/session', async (c) => {
    const body: unknown = await c.req.json().catch(() => null);
    return signIn(c, access, (body as { readonly token?: unknown } | null)?.token);
  });
  app.use('/api/*', mayLook(access));
  app.on('POST', '/api/*', mayChange(access));
  const byId = new Map(databases.map((one) => [one.id, one]));
  const [only] = databases;
  const routes = routesOf((id) => (id === undefined ? only : byId.get(id)), userHeader);
  app.use('/metrics', mayLook(access));
  if (choose === null) {
    app.route('/', routes.metrics);
    app.route('/api', routes.page);
  } else {
    app.get('/api/overview', async (c) => c.json(await choose()));
    app.get('/metrics', (c) => refuse(c, 404, metricsOfSeveral));
  }
  app.use('/api/databases/:id/*', async (c, next) => {
    if (byId.has(c.req.param('id'))) return await next();
    return refuse(c, 404, { error: `there is no database "${c.req.param('id')}"`, hint: null });
  });
  app.route('/api/databases/:id', routes.page);
  app.route('/api/databases/:id', routes.metrics);
  app.get(outside, (c) => c.redirect(`${access.basePath}/`));
  app.get('*', (c) => sendFile(c, files));
  return app;
}

// An action has a name and a key.
const mostBytes = 100_000;

// No request has such a path.
const outside = '/ /';

/** The path behind the prefix. */
function pathWithin(basePath: string, pathname: string): string {
  if (pathname === basePath) return outside;
  return pathname.startsWith(`${basePath}/`) ? pathname.slice(basePath.length) : '/ ';
}

const metricsOfSeveral: Refused = {
  error: 'each of several targets has metrics of its own',
  hint: 'api/databases/ID/metrics, with the ids that api/overview has',
};

/** What is asked of one database, which `find` has by the id in the path. */
function routesOf(
  find: (id: string | undefined) => Shown | undefined,
  userHeader: string | null,
): { readonly page: Hono; readonly metrics: Hono } {
  const routes = new Hono();
  const metrics = new Hono();
  const shownIn = (c: Context): Shown => {
    const id = c.req.param('id' as never) as string | undefined;
    const shown = find(id);
    if (shown === undefined) throw new UmzugClusterError('INTERNAL', { message: 'no database is shown' });
    return shown;
  };
  metrics.get('/metrics', async (c) => {
    const { feed, label } = shownIn(c);
    const { text, type } = await metricsOf(await feed.once(null), label);
    return c.body(text, 200, { 'content-type': type });
  });
  routes.get('/overview', async (c) => c.json((await lookOnce(shownIn(c).feed)).overview));
  routes.get('/events', (c) => sendEvents(c, shownIn(c).feed, c.req.query('run') ?? null));
  routes.get('/runs/:run', async (c) => {
    const id = c.req.param('run');
    const detail = (await lookOnce(shownIn(c).feed, id)).details.get(id);
    if (detail == null) return refuse(c, 404, unknownRun(id));
    return c.json(detail);
  });
  routes.get('/runs/:run/report.html', async (c) => {
    const id = c.req.param('run');
    const { details, overview } = await lookOnce(shownIn(c).feed, id);
    const detail = details.get(id);
    if (detail == null) return refuse(c, 404, unknownRun(id));
    const name = `${detail.row.name.replaceAll(/[^\w.-]+/g, '-')}.html`;
    return c.html(runReport(overview, detail), 200, {
      'content-disposition': `attachment; filename="${name}"`,
      'content-security-policy': documentPolicy,
    });
  });
  routes.post('/actions', async (c) => {
    const { act, feed } = shownIn(c);
    if (act === null) return refuse(c, 403, { error: 'this page is read-only', hint: null });
    const asked: unknown = await c.req.json().catch(() => null);
    return c.json(await act(asked, userOf(c, userHeader)).finally(() => feed.changed()));
  });
  return { page: routes, metrics };
}

const unknownRun = (id: string): Refused => ({ error: `there is no run or migration "${id}"`, hint: null });

/** Whom the proxy names; nobody else may set the header, which is for the proxy to see to. */
function userOf(c: Context, userHeader: string | null): string | null {
  const name = userHeader === null ? '' : stripControls(c.req.header(userHeader) ?? '').trim();
  return name === '' ? null : name.slice(0, longestUser);
}

const longestUser = 100;

/** A look at the database. Throws DATABASE_UNAVAILABLE where it does not answer. */
async function lookOnce(feed: Feed, run: string | null = null): Promise<Look> {
  const news = await feed.once(run);
  if (news.kind === 'look') return news.look;
  const { error: message, hint } = news.unavailable;
  throw new UmzugClusterError('DATABASE_UNAVAILABLE', { message, hint: hint ?? undefined });
}

/** How an error of the product is answered; of any other nobody outside hears more than that there was one. */
function refuseError(c: Context, error: Error): Response {
  if (!(error instanceof UmzugClusterError)) {
    return refuse(c, 500, { error: 'the server of the page has failed', hint: 'see its log' });
  }
  const status = error.exitCode === 4 ? 503 : error.exitCode === 70 ? 500 : 409;
  return refuse(c, status, { error: error.message, hint: error.hint ?? null });
}
