import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Session } from '../../src/postgres/session.ts';
import {
  commit,
  inOneTrip,
  plainSettings,
  rollback,
  withTransaction,
} from '../../src/postgres/transaction.ts';
import { type TestDatabase, createDatabase } from '../support/database.ts';
import { fakeServer } from '../support/fake-server.ts';
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

it('a transaction that has handled an error is ended all the same, once it lasts longer than it may', async ({
  skip,
}) => {
  const session = await open();
  const { rows: known } = await session.query(
    `select from pg_catalog.pg_settings where name = 'transaction_timeout'`,
  );
  if (known.length === 0) return skip('the server has no transaction_timeout');
  await session.query("begin; set local transaction_timeout = '1s'; savepoint a");
  await expect(session.query('select 1/0')).rejects.toThrow('division by zero');
  await session.authorQuery('rollback to savepoint a', []);
  const isEnded = async (): Promise<boolean> => {
    const ask = 'select from pg_catalog.pg_stat_activity where pid = $1';
    return (await database.client.query(ask, [session.serverPid])).rowCount === 0;
  };
  await vi.waitUntil(isEnded, { timeout: 30_000 });
  session.destroy();
});

it('a name that is looked for while a statement runs may be a value, and is not shown', async () => {
  const session = await open();
  const asked = session.authorQuery('select nextval($1::text::regclass)', ['hunter2']);
  await expect(asked).rejects.toThrow(/^relation "…" does not exist$/);
  await expect(session.authorQuery('select from nope', [])).rejects.toThrow('relation "nope" does not exist');
  await expect(session.authorQuery('drop table nope', [])).rejects.toThrow('table "nope" does not exist');
  await session.end();
});

it('of several hosts in a URL the first is taken that lets us in, and of standbys none where a primary is asked for', async () => {
  const standby = await fakeServer({ parameters: { server_version: '16.2', in_hot_standby: 'on' } });
  const { host: fake } = new URL(standby.url);
  const { host: real } = new URL(database.url);
  const hosts = (list: string): string => database.url.replace(real, list);
  const session = await open(`${hosts(`127.0.0.1:1,${fake},${real}`)}?target_session_attrs=read-write`);
  expect(session.remotePort).toBe(Number(new URL(database.url).port));
  await session.end();
  const onlyStandby = open(`${hosts(`127.0.0.1:1,${fake}`)}?target_session_attrs=primary`);
  await expect(onlyStandby).rejects.toMatchObject({ code: '57P03' });
  const any = await open(hosts(`${fake},${real}`));
  expect(any.remotePort).toBe(Number(new URL(standby.url).port));
  any.destroy();
  standby.close();
});
