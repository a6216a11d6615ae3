import { afterAll, beforeAll, expect, it } from 'vitest';
import { Session } from '../../src/postgres/session.ts';
import {
  commit,
  inOneTrip,
  plainSettings,
  rollback,
  withTransaction,
} from '../../src/postgres/transaction.ts';
import { type TestDatabase, createDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  await database.client.query('create table t (n int)');
});

afterAll(async () => {
  await database.drop();
});

const open = (connection = database.url): Promise<Session> =>
  Session.open({ connection, connectTimeoutMs: 5_000, answerTimeoutMs: 30_000 });

const rows = async (): Promise<number | null> => (await database.client.query('select from t')).rowCount;

it('a COMMIT that Postgres answers with ROLLBACK, and without an error, is one that failed', async () => {
  const session = await open();
  await session.query('begin; insert into public.t values (1)');
  await expect(session.query('select 1/0')).rejects.toThrow('division by zero');
  await expect(commit(session)).rejects.toThrow('Postgres answered ROLLBACK to COMMIT');
  expect(session.transactionStatus()).toBe('I');
  expect(await rows()).toBe(0);
  await session.end();
});

it('an error in a transaction is thrown, nothing of it stays, and the connection can be used again', async () => {
  const session = await open();
  const fails = withTransaction(session, plainSettings, async () => {
    await session.query('insert into public.t values (1)');
    await session.query('select 1/0');
  });
  await expect(fails).rejects.toThrow('division by zero');
  const inOne = inOneTrip(session, plainSettings, () => session.query('select 1/0'));
  await expect(inOne).rejects.toThrow('division by zero');
  expect([session.usable, session.transactionStatus()]).toEqual([true, 'I']);
  expect(await rows()).toBe(0);
  await session.end();
});

it('a ROLLBACK that is not answered destroys its connection, and the server lets go of it', async () => {
  const proxy = await startProxy(database.url, () => 'pass');
  try {
    const session = await open(proxy.url(database.url));
    await session.query('begin; insert into public.t values (1)');
    proxy.block('to-client');
    await rollback(session);
    expect(session.usable).toBe(false);
    expect(session.lost?.message).toBe('connection destroyed');
    await expect(session.query('select 1')).rejects.toThrow();
    expect(await rows()).toBe(0);
  } finally {
    await proxy.close();
  }
});
