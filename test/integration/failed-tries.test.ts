import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { Ledger } from '../../src/ledger/ledger.ts';
import { ensureLedger, ledgerNames } from '../../src/ledger/schema.ts';
import { Session } from '../../src/postgres/session.ts';
import { createMigrator } from '../../src/application.ts';
import { waitingSessions } from '../support/audit.ts';
import { until } from '../support/cli.ts';
import { type TestDatabase, createDatabase, withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';
import { migrateHere } from '../support/small-run.ts';

/** What the ledger keeps of a try that failed, also where another worker was quicker than the word of it. */

const names = ledgerNames('umzug_cluster');
const base = { oid: '0', schema: 'public', name: 't', key: [], blocks: 1, estimatedRows: 100 };

let database: TestDatabase;
let session: Session;
let ledger: Ledger;

beforeAll(async () => {
  database = await createDatabase();
  session = await openSession();
  ledger = new Ledger(session, names);
  await session.query('begin');
  const signal = AbortSignal.timeout(60_000);
  await ensureLedger(session, 'umzug_cluster', { waiting: () => undefined, signal });
  await session.query('commit');
});

afterAll(async () => {
  await session.end();
  await database.drop();
});

afterEach(() => void vi.unstubAllEnvs());

async function openSession(): Promise<Session> {
  return await Session.open({ connection: database.url, connectTimeoutMs: 5_000, answerTimeoutMs: 0 });
}

/** A run with one range, which worker `a` has taken up, and then worker `b`. */
async function twiceTaken(name: string): Promise<string> {
  const { id, epoch } = await ledger.runs.insert({
    name,
    direction: 'up',
    reverts: null,
    plan: { base, sql: '' },
    fileSha256: '',
    planSha256: '',
    estimatedRows: 100,
    imports: {},
  });
  await ledger.ranges.layOut(id, {
    space: 'keys',
    stopKey: ['100'],
    bounds: [['100']],
    ends: [100],
  });
  for (const worker of ['a', 'b']) {
    // As if the one before had been at it for longer than a range stays its own.
    await session.query(`update ${names.ranges} set touched_at = '-infinity'`);
    expect(await ledger.ranges.claim({ id, epoch }, worker, null)).toMatchObject({ kind: 'range' });
  }
  return id;
}

async function rangeOf(runId: string): Promise<unknown> {
  const { rows } = await session.query(
    `select worker, open_claims::int, attempts::int, max_rows::int from ${names.ranges} where run_id = $1::bigint`,
    [runId],
  );
  return rows[0];
}

const failure = { no: 1, error: 'x', maxRows: 25, waitMs: 60_000, transient: false };

it('is accounted for, with fewer rows, while it stays with the worker that was quicker', async () => {
  const runId = await twiceTaken('quicker');
  expect(await rangeOf(runId)).toMatchObject({ worker: 'b', open_claims: 2 });
  await ledger.failures.record({ ...failure, runId, worker: 'a', from: null });
  expect(await rangeOf(runId)).toEqual({ worker: 'b', open_claims: 1, attempts: 1, max_rows: 25 });
  await ledger.failures.record({ ...failure, runId, worker: 'a', maxRows: 50, from: null });
  expect(await rangeOf(runId), 'fewer rows are known to be too many').toMatchObject({ max_rows: 25 });
  await ledger.failures.record({ ...failure, runId, worker: 'b', maxRows: 12, from: null });
  expect(await rangeOf(runId)).toEqual({ worker: null, open_claims: 0, attempts: 3, max_rows: 12 });
});

it('is counted once, by the word that goes with its rollback', async () => {
  const runId = await twiceTaken('accounted');
  const at = { runId, no: 1, cursor: null };
  expect(await ledger.failures.accountFor(at)).toBe(true);
  expect(await rangeOf(runId)).toEqual({ worker: 'b', open_claims: 1, attempts: 1, max_rows: null });
  await ledger.failures.record({ ...failure, runId, worker: 'a', from: null, isAccounted: true });
  expect(await rangeOf(runId)).toEqual({ worker: 'b', open_claims: 1, attempts: 1, max_rows: 25 });
  expect(await ledger.failures.accountFor({ ...at, cursor: ['50'] }), 'from another cursor').toBe(false);
});

it('is no death to whoever takes its range up while the word of it waits for the range', async () => {
  const runId = await twiceTaken('waiting');
  const opened = await Promise.all([openSession(), openSession()]);
  const [other, third] = opened;
  try {
    await session.query('begin');
    await ledger.chunks.lockRange(runId, 1, '00000000-0000-0000-0000-000000000002');
    const told = new Ledger(other, names).failures.accountFor({ runId, no: 1, cursor: null });
    await until('the word of it waits', async () => (await waitingSessions(session.client)) === 1);
    const counted = new Ledger(third, names).failures.openClaims(runId, 1);
    await until('the count waits, too', async () => (await waitingSessions(session.client)) === 2);
    await session.query('rollback');
    expect(await counted).toBe(1);
    expect(await told).toBe(true);
  } finally {
    await Promise.all(opened.map((one) => one.end()));
  }
});

it('is nothing any more where the other one has made progress', async () => {
  const runId = await twiceTaken('progress');
  const token = '00000000-0000-0000-0000-000000000001';
  await session.query('begin');
  await ledger.chunks.lockRange(runId, 1, token);
  const step = { runId, no: 1, token, epoch: 1, from: null, to: ['50'], last: false };
  await ledger.chunks.advance({ ...step, rows: 50, passed: 50, bounds: null, busyMs: 1 });
  await session.query('commit');
  await ledger.failures.record({ ...failure, runId, worker: 'a', from: null });
  expect(await rangeOf(runId)).toEqual({ worker: 'b', open_claims: 0, attempts: 0, max_rows: null });
});

it('says nothing of a range that others have where its own cursor is not told', async () => {
  const runId = await twiceTaken('untold');
  await ledger.failures.record({ ...failure, runId, worker: 'a' });
  expect(await rangeOf(runId)).toEqual({ worker: 'b', open_claims: 2, attempts: 0, max_rows: null });
});

it('is the last error of the run where it was the latest, whatever it says', async () => {
  const runId = await twiceTaken('latest');
  await session.query(
    `insert into ${names.ranges} (run_id, no, hi, worker) values ($1::bigint, 2, '{200}', 'c')`,
    [runId],
  );
  await ledger.failures.record({ ...failure, runId, worker: 'b', error: 'zzz, the first' });
  await ledger.failures.record({ ...failure, runId, no: 2, worker: 'c', error: 'aaa, the latest' });
  expect(await ledger.ranges.totals(runId)).toMatchObject({ lastError: 'aaa, the latest' });
});

it('of the last row of a range leaves no empty range behind it, however often it is tried again', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`
      create table t (id int primary key, n int not null default 0 check (n = 0 or id % 3 > 0));
      insert into t (id) select generate_series(1, 9);
      analyze t`);
    const source = `
      export const select = (db) => db('t').select('id').where('n', 0);
      export const update = (db, rows) => db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: 1 });`;
    const migrator = await createMigrator({
      cwd: makeProject({ 'a.ts': source }).dir,
      databaseUrl: url,
      workers: 1,
    });
    const ranges = async (): Promise<unknown> => {
      const { rows } = await client.query<Record<string, unknown>>(
        `select (select sum(n)::int from t) as done,
                (select count(*)::int from ${names.quarantine}) as quarantined,
                (select count(*)::int from ${names.ranges} where lo = hi) as empty,
                (select count(*)::int from ${names.ranges}) as ranges`,
      );
      return rows[0];
    };
    try {
      await expect(migrator.up()).rejects.toThrow('3 rows are quarantined');
      const first = await ranges();
      expect(first).toMatchObject({ done: 6, quarantined: 3, empty: 0 });
      await expect(migrator.retry('a')).rejects.toThrow('3 rows are quarantined');
      await expect(migrator.retry('a')).rejects.toThrow('3 rows are quarantined');
      expect(await ranges()).toEqual(first);
      await client.query('alter table t drop constraint t_check');
      await migrator.retry('a');
      expect(await ranges()).toMatchObject({ done: 9, quarantined: 0 });
    } finally {
      await migrator.close();
    }
  });
});

it('of 30 bad rows among 300 is one of few, and lays out no more ranges when they are tried again', async () => {
  vi.stubEnv('UMZUG_CLUSTER_LANES', '1');
  await withDatabase(async ({ url, client }) => {
    await client.query(`
      create table t (id int primary key, n int not null default 0 check (n = 0 or id % 10 > 0));
      create sequence tries;
      insert into t (id) select generate_series(1, 300);
      analyze t`);
    const source = `
      export const select = (db) => db('t').select('id').where('n', 0);
      export const update = async (db, rows) => {
        await db.raw("select nextval('tries')");
        await db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: 1 });
      };`;
    const cwd = makeProject({ 'a.ts': source }).dir;
    const migrator = await createMigrator({ cwd, databaseUrl: url, workers: 1 });
    const seen = async (): Promise<Record<string, number>> => {
      const { rows } = await client.query<Record<string, number>>(
        `select (select sum(n)::int from t) as done,
                (select count(*)::int from ${names.ranges} where state = 'quarantined') as aside,
                (select count(*)::int from ${names.ranges} where lo = hi) as empty,
                (select count(*)::int from ${names.ranges}) as ranges,
                nextval('tries')::int as tries`,
      );
      return rows[0] ?? {};
    };
    try {
      await expect(migrator.up()).rejects.toThrow('30 rows are quarantined');
      const { tries = 0, ...first } = await seen();
      expect(first).toMatchObject({ done: 270, aside: 30, empty: 0 });
      expect(first['ranges'], 'one before and one for each bad row').toBeLessThanOrEqual(62);
      expect(tries, 'for each ten rows').toBeLessThanOrEqual(30 * 9);
      for (let no = 0; no < 3; no += 1) {
        await expect(migrator.retry('a')).rejects.toThrow('more than half of the last 20 chunks failed');
      }
      const { done, empty, ranges } = first;
      expect(await seen()).toMatchObject({ done, empty, ranges });
    } finally {
      await migrator.close();
    }
  });
});

it('is accounted for as it is rolled back, however busy its process is', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`
      create table t (id int primary key, n int not null default 0);
      create table seen (open_claims int, attempts int);
      insert into t (id) select generate_series(1, 9);
      analyze t`);
    // What another process would find, while nothing moves in this one.
    const look = `
      import pg from 'pg';
      const client = new pg.Client(${JSON.stringify(url)});
      await client.connect();
      await client.query('insert into seen select open_claims, attempts from umzug_cluster.ranges');
      await client.end();`;
    const source = `
      import { execFileSync } from 'node:child_process';
      export const select = (db) => db('t').select('id');
      export const update = async (db, rows, { attempt }) => {
        await db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: 1 });
        if (attempt > 1 || rows[0].id !== 1) return;
        setImmediate(() => execFileSync(process.execPath, ['--input-type=module', '-e', ${JSON.stringify(look)}]));
        throw new Error('x');
      };`;
    await migrateHere(makeProject({ 'a.ts': source }).dir, url);
    const { rows } = await client.query('select * from seen');
    expect(rows).toEqual([{ open_claims: 0, attempts: 1 }]);
  });
});

it('empties the cache that update has from one chunk to the next', async () => {
  vi.stubEnv('UMZUG_CLUSTER_LANES', '1');
  await withDatabase(async ({ url, client }) => {
    await client.query(`
      create table t (id int primary key, n int);
      insert into t (id) select generate_series(1, 39);
      analyze t`);
    const source = `
      export const options = { chunkSize: 10 };
      export const select = (db) => db('t').select('id');
      export const update = async (db, rows, { cache, attempt }) => {
        const n = cache.get('chunks') ?? 0;
        cache.set('chunks', n + 1);
        await db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n });
        if (attempt > 1 || rows[0].id !== 21) return;
        await db.raw("do $$ begin raise exception using errcode = '40001'; end $$");
      };`;
    await migrateHere(makeProject({ 'a.ts': source }).dir, url);
    const { rows } = await client.query('select n from t where id in (1, 11, 21, 31) order by id');
    expect(rows.map(({ n }) => n)).toEqual([0, 1, 0, 1]);
  });
});
