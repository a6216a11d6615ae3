import type pg from 'pg';
import { until } from './cli.ts';
import type { TestDatabase } from './database.ts';
import { startPgBouncer } from './pgbouncer.ts';
import { startProxy } from './proxy.ts';
import type { ClientMessage, Fate, Hole, Proxy } from './proxy.ts';

/** Timers that are short enough for a test. A statement is given up 5 s after its own limit. */
export const shortTimers = {
  UMZUG_CLUSTER_STATEMENT_TIMEOUT_MS: '500',
  UMZUG_CLUSTER_IDLE_TIMEOUT_MS: '500',
  UMZUG_CLUSTER_CONNECT_TIMEOUT_MS: '1000',
  UMZUG_CLUSTER_TCP_USER_TIMEOUT_MS: '1000',
  // Where a hole swallows the rest of a pipelined request, the server waits inside of it: no other limit ticks.
  UMZUG_CLUSTER_CEILING_MS: '1500',
};

/** Where the proxy stands: between the product and the server, or on either side of a pooler. */
export type Way = 'direct' | 'before PgBouncer' | 'behind PgBouncer';
export const ways: readonly Way[] = ['direct', 'before PgBouncer', 'behind PgBouncer'];
export const holes: readonly Hole[] = ['both', 'to-server', 'to-client'];

/** A database behind a proxy. */
export interface Far {
  readonly proxy: Proxy;
  /** Connection string of the database, through the proxy. */
  readonly far: string;
}

/** Puts a proxy on the way to a database; false where PgBouncer is wanted and missing. */
export async function through(
  way: Way,
  db: TestDatabase,
  work: (on: Far) => Promise<void>,
  fate: (message: ClientMessage) => Fate = () => 'pass',
): Promise<boolean> {
  const pooled = { poolSize: 6, settings: { server_login_retry: 0.2 } };
  const before = way === 'before PgBouncer' ? await startPgBouncer({ url: db.url, ...pooled }) : null;
  if (way === 'before PgBouncer' && before === null) return false;
  const near = before?.url(db.name) ?? db.url;
  const proxy = await startProxy(near, fate);
  const behind =
    way === 'behind PgBouncer' ? await startPgBouncer({ url: proxy.url(near), ...pooled }) : null;
  try {
    if (way === 'behind PgBouncer' && behind === null) return false;
    await work({ proxy, far: behind?.url(db.name) ?? proxy.url(near) });
    return true;
  } finally {
    await behind?.stop();
    await proxy.close();
    await before?.stop();
  }
}

/** Waits until the server has ended every transaction of the product by itself. */
export async function released(client: pg.Client): Promise<void> {
  await until('the server has released the locks', async () => {
    const { rows } = await client.query<{ open: number }>(
      `select count(*)::int as open from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null`,
    );
    return rows[0]?.open === 0;
  });
}
