import { createServer } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import type { Control } from '../../cluster/worker/control.ts';
import type { Config } from '../../config/config.ts';
import { databaseLabel } from '../../config/database.ts';
import { thisProcess } from '../../config/this-process.ts';
import type { Standing } from '../../migrator/joiner.ts';
import { Feed } from '../api/feed.ts';
import { lookAt } from '../api/reading.ts';
import { secureHeaders } from './access.ts';
import { closeServer, listenAt, placeNamed } from './listen.ts';
import { metricsOf } from './metrics.ts';

/** What is told of a worker. */
export interface Told {
  readonly label: string;
  readonly feed: Feed;
  readonly standing: () => Standing;
}

const usualPort = 4950;

// Whoever sends work to this host, or waits for it, is to look elsewhere.
const notReady: ReadonlySet<Standing['state']> = new Set(['starting', 'refused', 'unavailable', 'stopping']);

/** What metrics are read from, on a connection that others use as well. */
export function feedOn(config: Config, control: Control): Feed {
  const about = { databaseId: databaseLabel(config.database), canWrite: false };
  return new Feed((asked) => lookAt(config, control, about, asked));
}

/**
 * Serves the health of a worker and its metrics; nothing can be changed here, so no token is needed. Throws USAGE or
 * CONFIG where it cannot listen.
 */
export async function serveHealth(
  listen: string | null,
  { label, feed, standing }: Told,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const { host, pid, version } = thisProcess();
  const app = new Hono();
  app.use(secureHeaders);
  const health = (): object => ({ ...standing(), database: label, host, pid, version });
  app.get('/healthz', (c) => c.json(health()));
  app.get('/readyz', (c) => c.json(health(), notReady.has(standing().state) ? 503 : 200));
  app.get('/metrics', async (c) => {
    const { text, type } = await metricsOf(await feed.once(null), label, standing().state);
    return c.body(text, 200, { 'content-type': type });
  });
  const answer = getRequestListener(app.fetch);
  const server = createServer((request, response) => void answer(request, response));
  const url = await listenAt(server, placeNamed(listen, usualPort));
  return { url, close: () => closeServer(server) };
}
