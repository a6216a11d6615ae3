import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import type { Config } from '../../config/config.ts';
import { fail, messageOf } from '../../errors.ts';
import type { Logger } from '../../logger.ts';
import type { Migrator } from '../../migrator/migrator.ts';
import type { Target } from '../../targets/resolve.ts';
import { isLoopback } from './access.ts';
import { makeApp } from './app.ts';
import { readPage } from './files.ts';
import { type Place, closeServer, listenAt, placeNamed } from './listen.ts';
import { showOne, showTargets } from './shown.ts';

/** How the page is served, as somebody has asked for it. */
export interface UiOptions {
  /** `HOST:PORT`; null: on this host alone, at the usual port or a free one. */
  readonly listen: string | null;
  readonly token: string | null;
  readonly basePath: string;
  readonly userHeader: string | null;
  readonly isReadOnly: boolean;
}

/** What is behind the page: one database with its migrator, or several targets. */
export interface Behind {
  readonly config: Config;
  readonly logger: Logger;
  readonly behind: { readonly migrator: Migrator } | { readonly targets: readonly Target[] };
}

/** A page that is served. */
export interface Served {
  /** With a token behind the #, which browsers send to nobody, where none was given. */
  readonly url: string;
  close(): Promise<void>;
}

const usualPort = 4949;
const shortestToken = 16;

/** Serves the page. Throws USAGE for options that make no sense together, and CONFIG where it cannot listen. */
export async function serve(options: UiOptions, { config, logger, behind }: Behind): Promise<Served> {
  const place = placeOf(options);
  const canWrite = !options.isReadOnly;
  const { databases, choose, close } =
    'migrator' in behind
      ? showOne(config, behind.migrator, canWrite)
      : showTargets(config, behind.targets, { canWrite, logger });
  // Whoever starts it here may change things, other users of this host may not: the URL has what tells them apart.
  const ownToken =
    options.token === null && !options.isReadOnly ? randomBytes(18).toString('base64url') : null;
  const app = makeApp({
    access: {
      token: options.token ?? ownToken,
      isOpen: options.token === null,
      basePath: options.basePath,
      cookie: `umzug_cluster_${choose === null ? (databases[0]?.id ?? '') : 'targets'}`,
    },
    files: readPage(),
    databases,
    choose,
    userHeader: options.userHeader,
    failed: (error) => {
      const message = messageOf(error);
      logger.error({ event: 'ui.failed', error: message }, `a request of the page has failed: ${message}`);
    },
  });
  const answer = getRequestListener(app.fetch);
  const server = createServer((request, response) => void answer(request, response));
  const origin = await listenAt(server, place);
  return {
    url: `${origin}${options.basePath}/${ownToken === null ? '' : `#token=${ownToken}`}`,
    close: async () => {
      const closed = closeServer(server);
      await Promise.all([closed, close()]);
    },
  };
}

function placeOf({ listen, token, basePath }: UiOptions): Place {
  const place = placeNamed(listen, usualPort);
  if (token === null && !isLoopback(place.host)) {
    throw fail('USAGE', {
      message: `--listen ${place.host}:${place.port} needs --token`,
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
  return place;
}
