import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { until } from './cli.ts';
import { counterRows } from './project.ts';

/**
 * Clients that increment `hits` of random rows of so many all the while. Returns how to stop them, with what was
 * acknowledged.
 */
export function writeAllTheWhile(
  url: string,
  clients: number,
  rows = counterRows,
): { stop(): Promise<number> } {
  let going = true;
  const work = Array.from({ length: clients }, async () => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    let acknowledged = 0;
    try {
      while (going) {
        const id = 1 + Math.floor(Math.random() * rows);
        await client.query('update counters set hits = hits + 1 where id = $1', [id]);
        acknowledged += 1;
        // as an application has other things to do, and tests beside this one have, too
        await sleep(5);
      }
    } finally {
      await client.end();
    }
    return acknowledged;
  });
  return {
    async stop() {
      going = false;
      const counts = await Promise.all(work);
      return counts.reduce((sum, count) => sum + count, 0);
    },
  };
}

/** Gives `work` a further connection, as of an application. */
export async function withApplication<T>(
  url: string,
  work: (application: pg.Client) => Promise<T>,
): Promise<T> {
  const application = new pg.Client({ connectionString: url });
  await application.connect();
  try {
    return await work(application);
  } finally {
    await application.end();
  }
}

/** Waits until some session of the client's database waits for a lock. */
export async function somebodyWaits(client: pg.Client): Promise<void> {
  await until('somebody waits for a lock', async () => {
    const { rowCount } = await client.query(
      `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
    );
    return rowCount;
  });
}
