import type pg from 'pg';
import { expect } from 'vitest';
import { rowsDone, until } from './cli.ts';
import type { Running } from './cli.ts';
import { withDatabase } from './database.ts';
import type { TestDatabase } from './database.ts';
import { noPgBouncer, startPgBouncer } from './pgbouncer.ts';
import type { PgBouncer } from './pgbouncer.ts';
import { counterRows, createCounters } from './project.ts';

/** A database with its counters behind a pooler of its own; skips the test where there is no PgBouncer. */
export async function behindPgBouncer(
  skip: (note: string) => void,
  options: Omit<Parameters<typeof startPgBouncer>[0], 'url'>,
  work: (on: TestDatabase & { readonly pooler: PgBouncer; readonly pooled: string }) => Promise<void>,
): Promise<void> {
  await withDatabase(async (db) => {
    // A login that fails is remembered for 15 s, as one that RECONNECT interrupts: it would only cost time.
    const settings = { server_login_retry: 0.2, ...options.settings };
    const pooler = await startPgBouncer({ ...options, url: db.url, settings });
    if (pooler === null) return skip(noPgBouncer);
    try {
      await db.client.query(createCounters);
      await work({ ...db, pooler, pooled: pooler.url(db.name) });
    } finally {
      await pooler.stop();
    }
  });
}

/** Every counter was written once, and no increment of an application is lost. */
export async function expectEachOnce(client: pg.Client, hits = 0): Promise<void> {
  const { rows } = await client.query(
    `select (select array_agg(distinct n) from counters) as n,
            (select sum(hits)::int from counters) as hits,
            (select count(*)::int from writes) as writes,
            (select count(distinct id)::int from writes) as ids`,
  );
  expect(rows).toEqual([{ n: [1], hits, writes: counterRows, ids: counterRows }]);
}

/** The command ends with 0. */
export async function expectDone({ outcome }: Running): Promise<void> {
  const { code, stderr } = await outcome;
  expect(code, stderr).toBe(0);
}

/** Waits until a chunk is committed by a command, which must not end meanwhile. */
export async function progress(client: pg.Client, { outcome }: Running): Promise<void> {
  const before = await rowsDone(client);
  let ended: string | null = null;
  void outcome.then(({ code, stderr }) => (ended = `it ended with ${code}: ${stderr}`));
  await until('rows are migrated', async () => {
    if (ended !== null) throw new Error(ended);
    return (await rowsDone(client)) > before;
  });
}
