import { afterAll, beforeAll, beforeEach } from 'vitest';
import { type TestDatabase, createDatabase } from './database.ts';
import { type Visiting, visitAll } from './visits.ts';

/** Both ways to write an update. */
export const styles = ['rows', 'sets'] as const;

/** The columns that `visitAll` counts in. */
export const columns = 'no int not null, n int not null default 0';

/** How many rows `filled` makes. */
export const rows = 400;

/** Fills table `t`; `key`: what stands before the number `no` of each row. */
export function filled(key: string): string {
  return `insert into t select ${key}, no from generate_series(1, ${rows}) as no`;
}

/** A database of the test file whose schema `app` is new for each test, as is the ledger, and first in the search path. */
export interface AppDatabase extends Pick<TestDatabase, 'client' | 'url'> {
  /** Of the server, as in `180004`. */
  readonly version: number;
}

/** Makes it before the tests of the file, and drops it after them. To be called once in a file, outside of tests. */
export function appDatabase(): AppDatabase {
  let made: TestDatabase | null = null;
  let version = 0;
  const database = (): TestDatabase => {
    if (made === null) throw new Error('the database is there inside of tests');
    return made;
  };
  beforeAll(async () => {
    made = await createDatabase();
    const asked = await made.client.query(`select current_setting('server_version_num')::int as num`);
    version = asked.rows[0].num;
  });
  afterAll(async () => {
    await made?.drop();
  });
  beforeEach(async () => {
    await database().client.query(`
      drop schema if exists app, umzug_cluster cascade; create schema app; set search_path = app, public`);
  });
  return {
    get client() {
      return database().client;
    },
    get url() {
      return database().url;
    },
    get version() {
      return version;
    },
  };
}

/** Visits a table up and down with both styles, interrupted once each way; with statistics the second time. */
export async function visitTwice(
  { client, url }: AppDatabase,
  { table = 'app.t', ...visiting }: Partial<Visiting> = {},
): Promise<void> {
  for (const style of styles) {
    const how = { chunkSize: 140, abortedAfter: [2], andBack: true };
    await visitAll(url, { table, written: table, style, ...how, ...visiting });
    await client.query(`analyze ${table}`);
  }
}
