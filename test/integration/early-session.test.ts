import { afterAll, beforeAll, expect, it } from 'vitest';
import { EarlySession } from '../../src/postgres/early-session.ts';
import { type TestDatabase, createDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
});

afterAll(async () => {
  await database.drop();
});

const never = new AbortController().signal;

const early = (connection = database.url): EarlySession =>
  new EarlySession({ connection, connectTimeoutMs: 5_000, answerTimeoutMs: 30_000 });

/** Sessions of others on the database of the test, once the server has ended those that are to go. */
async function othersAre(expected: number): Promise<void> {
  const others = `select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`;
  await expect.poll(async () => (await database.client.query(others)).rowCount).toBe(expected);
}

it('is handed over once, and works', async () => {
  const begun = early();
  begun.begin('a', never);
  begun.begin('a', never);
  const session = await begun.take();
  expect((await session?.query('select 1 as one'))?.rows).toEqual([{ one: 1 }]);
  expect(await begun.take()).toBeNull();
  await othersAre(1);
  await begun.end();
  expect(session?.usable).toBe(true);
  await session?.end();
  await othersAre(0);
});

it('leaves nothing on the server where nobody takes it', async () => {
  const made = early();
  made.begin('a', never);
  await othersAre(1);
  await made.end();
  const underWay = early();
  underWay.begin('a', never);
  await underWay.end();
  expect(await underWay.take()).toBeNull();
  await othersAre(0);
});

it('is not handed over where it was lost since', async () => {
  const begun = early();
  begun.begin('a', never);
  await othersAre(1);
  await database.client.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid()`,
  );
  await othersAre(0);
  // What has come before its answer has been read with it.
  await database.client.query('select 1');
  expect(await begun.take()).toBeNull();
});

it('says what it failed for where it is asked for, and stays silent where it is not', async () => {
  const proxy = await startProxy(database.url, () => 'cut-before');
  const [asked, unasked] = [early(proxy.url(database.url)), early(proxy.url(database.url))];
  asked.begin('a', never);
  unasked.begin('a', never);
  await expect(asked.take()).rejects.toThrow();
  await unasked.end();
  await proxy.close();
});

it('is given up where its signal aborts', async () => {
  const stop = new AbortController();
  const begun = early();
  begun.begin('a', stop.signal);
  stop.abort();
  await expect(begun.take()).rejects.toThrow();
  await othersAre(0);
});
