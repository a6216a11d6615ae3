import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { openControl } from '../../cluster/worker/control.ts';
import type { Config } from '../../config/config.ts';
import { databaseLabel } from '../../config/database.ts';
import { codeOf, fail, messageOf } from '../../errors.ts';
import type { Logger } from '../../logger.ts';
import type { Migrator } from '../../migrator/migrator.ts';
import { Feed } from '../api/feed.ts';
import { lookAt } from '../api/reading.ts';
import { actOn } from './actions.ts';
import { isLoopback } from './access.ts';
import { makeApp } from './app.ts';
import { readPage } from './files.ts';

/** How the page is served, as somebody has asked for it. */
export interface UiOptions {
  /** `HOST:PORT`; null: on this host alone, at the usual port or a free one. */
  readonly listen: string | null;
  readonly token: string | null;
  readonly basePath: string;
  readonly userHeader: string | null;
  readonly isReadOnly: boolean;
}

/** What is behind the page. */
export interface Behind {
  readonly config: Config;
  readonly migrator: Migrator;
  readonly logger: Logger;
}

/** A page that is served. */
export interface Served {
  /** With a token behind the #, which browsers send to nobody, where none was given. */
  readonly url: string;
  close(): Promise<void>;
}

const usualHost = '127.0.0.1';
const usualPort = 4949;
const shortestToken = 16;

/** Serves the page. Throws USAGE for options that make no sense together, and CONFIG where it cannot listen. */
export async function serve(options: UiOptions, { config, migrator, logger }: Behind): Promise<Served> {
  const place = placeOf(options);
  const control = openControl(config);
  const label = databaseLabel(config.database);
  const about = { databaseId: label.replaceAll(/[^\w.]+/g, '-'), canWrite: !options.isReadOnly };
  const feed = new Feed((asked) => lookAt(config, control, about, asked));
  control.onTrouble = (trouble) => trouble !== null && feed.trouble(trouble.what);
  // Whoever starts it here may change things, other users of this host may not: the URL has what tells them apart.
  const ownToken =
    options.token === null && !options.isReadOnly ? randomBytes(18).toString('base64url') : null;
  const app = makeApp({
    access: {
      token: options.token ?? ownToken,
      isOpen: options.token === null,
      basePath: options.basePath,
      cookie: `umzug_cluster_${about.databaseId}`,
    },
    files: readPage(),
    database: { id: about.databaseId, label, feed, act: options.isReadOnly ? null : actOn(config, migrator) },
    userHeader: options.userHeader,
    failed: (error) => {
      const message = messageOf(error);
      logger.error({ event: 'ui.failed', error: message }, `a request of the page has failed: ${message}`);
    },
  });
  const answer = getRequestListener(app.fetch);
  const server = createServer((request, response) => void answer(request, response));
  const port = await listen(server, place);
  const host = place.host.includes(':') ? `[${place.host}]` : place.host;
  return {
    url: `http://${host}:${port}${options.basePath}/${ownToken === null ? '' : `#token=${ownToken}`}`,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      control.cut(fail('STOPPED', { message: 'the page is served no longer' }));
      await Promise.all([closed, feed.idle()]);
      await control.close();
    },
  };
}

interface Place {
  readonly host: string;
  readonly port: number;
  /** Another port will do. */
  readonly isAnyPort: boolean;
}

function placeOf({ listen, token, basePath }: UiOptions): Place {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(listen ?? '') ?? [];
  const host = bracketed ?? plain ?? usualHost;
  const port = Number(digits ?? usualPort);
  if ((listen !== null && digits === undefined) || port > 65_535) {
    throw fail('USAGE', {
      message: `--listen must be HOST:PORT: got "${listen}"`,
      hint: `for example --listen ${usualHost}:${usualPort}`,
    });
  }
  if (token === null && !isLoopback(host)) {
    throw fail('USAGE', {
      message: `--listen ${host}:${port} needs --token`,
      detail: 'others than this host can reach it, and whoever does could pause or cancel a run',
      hint: 'set UMZUG_CLUSTER_TOKEN to a long random text, such as that of: openssl rand -hex 24',
    });
  }
  if (token !== null && token.length < shortestToken) {
    throw fail('USAGE', {
      message: `--token must have at least ${shortestToken} characters`,
      hint: 'such as that of: openssl rand -hex 24',
    });
  }
  if (!/^(?:\/[\w.~-]+)*$/.test(basePath)) {
    throw fail('USAGE', {
      message: `--base-path must be a path such as /backfills: got "${basePath}"`,
      detail: 'it begins with a slash, does not end with one, and has letters, digits and - _ . ~',
    });
  }
  return { host, port, isAnyPort: listen === null };
}

async function listen(server: Server, { host, port, isAnyPort }: Place): Promise<number> {
  const tryPort = (wanted: number): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(wanted, host, () => {
        server.off('error', reject);
        resolve();
      });
    });
  try {
    await tryPort(port).catch(async (error: unknown) => {
      if (!isAnyPort || codeOf(error) !== 'EADDRINUSE') throw error;
      await tryPort(0);
    });
  } catch (error) {
    throw fail('CONFIG', {
      message: `cannot listen on ${host}:${port}: ${messageOf(error)}`,
      hint: 'choose another place with --listen HOST:PORT; port 0 is any free one',
      cause: error,
    });
  }
  return (server.address() as AddressInfo).port;
}
