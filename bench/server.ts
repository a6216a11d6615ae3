import pg from 'pg';
import { startTestServer } from '../test/support/server.ts';

/** What every installation raises; else the defaults, which are durable. */
const usual = { shared_buffers: '512MB', max_wal_size: '4GB', max_connections: '100' };

export interface BenchServer {
  readonly url: string;
  readonly version: string;
  readonly client: pg.Client;
  remove(): Promise<void>;
}

/**
 * A server of the benchmark's own, on the disk that holds temporary files; removed at the end. `started` may do
 * something to it before it is used.
 */
export async function startBenchServer(
  settings: Readonly<Record<string, string>> = {},
  started: (url: string) => Promise<void> = () => Promise.resolve(),
): Promise<BenchServer> {
  const server = await startTestServer({ durable: true, settings: { ...usual, ...settings } });
  await started(server.url);
  const client = new pg.Client(server.url);
  await client.connect();
  const { rows } = await client.query<{ server_version: string }>('show server_version');
  return {
    url: server.url,
    version: rows[0]?.server_version ?? '',
    client,
    async remove() {
      await client.end();
      await server.remove();
    },
  };
}
