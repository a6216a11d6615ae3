import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject, onTestFailed } from 'vitest';
import './global-setup.ts';
import { until } from './cli.ts';

/** A database of one test or one test file. */
export interface TestDatabase {
  readonly url: string;
  readonly name: string;
  /** A connected client of the database's owner, a superuser. */
  readonly client: pg.Client;
  /** Deletes the database, whoever is connected; with KEEP_DATABASES set, not after a failed test. */
  drop(): Promise<void>;
}

/** Gives `work` a fresh database, and drops it when `work` succeeds, or fails without KEEP_DATABASES set. */
export async function withDatabase<T>(work: (db: TestDatabase) => Promise<T>): Promise<T> {
  const db = await createDatabase();
  try {
    const result = await work(db);
    await db.drop();
    return result;
  } catch (error) {
    if (keepDatabases()) await keep(db);
    else await db.drop();
    throw error;
  }
}

/** Gives `use` a database that nobody else uses meanwhile, with what those before have left in it. */
export type Lend = <T>(use: (db: TestDatabase) => Promise<T>) => Promise<T>;

/**
 * Gives `work` databases to lend, each of which begins with `sql`, and drops them in the end: for the same small run
 * many times over, where a database for each would cost more than the run.
 */
export async function withLentDatabases<T>(sql: string, work: (lend: Lend) => Promise<T>): Promise<T> {
  const all: TestDatabase[] = [];
  const free: TestDatabase[] = [];
  const make = async (): Promise<TestDatabase> => {
    const db = await createDatabase();
    all.push(db);
    await db.client.query(sql);
    return db;
  };
  try {
    return await work(async (use) => {
      const db = free.pop() ?? (await make());
      const result = await use(db);
      await until('the sessions of the last one have nothing to do any more', () => isQuiet(db));
      free.push(db);
      return result;
    });
  } finally {
    for (const db of all) await db.drop();
  }
}

async function isQuiet({ client }: TestDatabase): Promise<boolean> {
  const { rowCount } = await client.query(
    `select from pg_stat_activity
     where datname = current_database() and backend_type = 'client backend' and state <> 'idle'
       and pid <> pg_backend_pid()`,
  );
  return rowCount === 0;
}

/** Makes a fresh, empty database on the shared server. The caller drops it. */
export async function createDatabase(): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  // template0: nobody can be connected to it, which would make this fail
  await onServer(`create database ${name} template template0 ${await byFiles()}`);
  const url = urlOfDatabase(name);
  const client = await connect(url);
  let failed = false;
  const db: TestDatabase = {
    url,
    name,
    client,
    async drop() {
      if (failed && keepDatabases()) return keep(db);
      await client.end();
      await onServer(`drop database if exists ${name} with (force)`);
    },
  };
  // outside a test, as in beforeAll, there is nothing to watch
  try {
    onTestFailed(() => {
      failed = true;
    });
  } catch {
    // a database of the file: always dropped
  }
  return db;
}

let strategy: string | null = null;

/** Copies files, where the server has to be told: half the work of copying pages, and a third of dropping them. */
async function byFiles(): Promise<string> {
  if (strategy !== null) return strategy;
  const { rows } = await onServer(`select current_setting('server_version_num')::int as version`);
  return (strategy = rows[0].version < 150_000 ? '' : 'strategy file_copy');
}

/** Connection string of a database on the shared server. */
export function urlOfDatabase(name: string): string {
  const url = new URL(inject('serverUrl'));
  url.pathname = `/${name}`;
  return url.href;
}

/** Runs one statement on the shared server, outside the databases of tests. */
export async function onServer(sql: string): Promise<pg.QueryResult> {
  const client = await connect(inject('serverUrl'));
  try {
    return await client.query(sql);
  } finally {
    await client.end();
  }
}

/** A client that is connected, for as long as the test lets it. */
export async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString });
  // a test may end sessions and servers; the next query reports it, an event would end the test process
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function keep(db: TestDatabase): Promise<void> {
  await db.client.end();
  console.error(`KEEP_DATABASES: the failed test's database is ${db.url}`);
}

function keepDatabases(): boolean {
  return (process.env.KEEP_DATABASES ?? '') !== '';
}
