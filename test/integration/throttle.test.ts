import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { defaultTuning } from '../../src/core/config/settings.ts';
import type { Overrides } from '../../src/core/config/steering.ts';
import { type Limits, limitsOf } from '../../src/core/throttle/limits.ts';
import type { Signal } from '../../src/core/throttle/signal.ts';
import { Session } from '../../src/postgres/session.ts';
import { plainSettings } from '../../src/postgres/transaction.ts';
import { checkSource, fileSource, querySource, urlSource } from '../../src/throttle/probes.ts';
import { type DuringVacuum, ServerSource } from '../../src/throttle/server.ts';
import { until } from '../support/cli.ts';
import { connect } from '../support/database.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

/** Each signal is read from a real server in the state that it is about. */

let server: TestServer;
let client: pg.Client;
let session: Session;
let oid = '';

const settings = {
  archive_mode: 'on',
  max_connections: '30',
  autovacuum_naptime: '1s',
  max_prepared_transactions: '2',
};

beforeAll(async () => {
  server = await startTestServer({ settings });
  client = await connect(server.url);
  session = await openSession(server.url);
  await client.query('create table counters (id int primary key, n int) with (autovacuum_enabled = false)');
  await client.query(
    'insert into counters select g, 0 from generate_series(1, 10000) as g; analyze counters',
  );
  oid = (await client.query<{ oid: string }>(`select 'counters'::regclass::oid as oid`)).rows[0]?.oid ?? '';
}, 60_000);

afterAll(async () => {
  await session?.end();
  await client?.end();
  await server?.remove();
});

afterEach(async () => {
  await client.query('rollback');
});

const openSession = (url: string, lane = 'control'): Promise<Session> =>
  Session.open({
    connection: { connectionString: url },
    connectTimeoutMs: 5_000,
    answerTimeoutMs: 35_000,
    use: { migration: 'a', lane },
  });

/** Looks with these limits, which somebody has asked for. */
function look(
  limits: Overrides,
  { on = session, duringVacuum = 'ignore' as DuringVacuum, isDefault = false } = {},
): { read(): Promise<readonly Signal[]>; everyMs: number } {
  const all: Limits = limitsOf(
    { ...defaultTuning(1), fullSpeed: !isDefault },
    { asked: [], critical: {} },
    limits,
  );
  const table = { oid, schema: 'public', name: 'counters' };
  return new ServerSource({
    ask: (work) => work(on),
    settings: plainSettings,
    table,
    limits: () => all,
    duringVacuum,
  });
}

const texts = async (source: { read(): Promise<readonly Signal[]> }): Promise<readonly string[]> =>
  (await source.read()).map(({ response, text }) => `${response}: ${text}`);

/** Another connection, which ends with the test. */
async function another(lane?: string): Promise<pg.Client> {
  const other = await connect(server.url);
  onTestFinished(() => other.end());
  if (lane !== undefined) await other.query(`set application_name = 'umzug-cluster a host:1 ${lane}'`);
  return other;
}

const pidOf = async (of: pg.Client): Promise<number> =>
  (await of.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid ?? 0;

describe('what the server shows', () => {
  it('a session that waits for a lock of a chunk: DDL, or a row; chunks that wait for each other are none', async () => {
    const [chunk, ddl, lane] = [await another('1'), await another(), await another('2')];
    const source = look({ maxLockWaiters: 0 });
    await chunk.query('begin; update counters set n = n + 1 where id = 1');
    const waiting = lane.query('update counters set n = n + 1 where id = 1');
    await until('a lane waits', async () => {
      const { rows } = await client.query('select from pg_locks where not granted');
      return rows.length === 1;
    });
    expect(await texts(source)).toEqual([]);
    const altered = ddl.query('alter table counters add column extra int');
    const held = await until('it is seen', async () => {
      const found = await texts(source);
      return found.length > 0 ? found : null;
    });
    expect(held).toEqual([`hold: lock waiters 1 > 0 (pid ${await pidOfWaiting()})`]);
    // It is looked at again soon: a chunk may be over at any moment.
    expect(source.everyMs).toBeLessThan(100);
    await chunk.query('commit');
    await Promise.all([altered, waiting]);
    expect(await texts(source)).toEqual([]);
    expect(source.everyMs).toBe(500);
  });

  async function pidOfWaiting(): Promise<number> {
    const { rows } = await client.query<{ pid: number }>(
      `select pid from pg_stat_activity where query like 'alter table%' and wait_event_type = 'Lock'`,
    );
    return rows[0]?.pid ?? 0;
  }

  it('WAL that a replication slot keeps', async () => {
    await client.query(`select pg_create_physical_replication_slot('old', true)`);
    // What is kept is what was written: a commit that waits for it leaves nothing in the buffers.
    await client.query(`begin; set local synchronous_commit = on;
      select pg_logical_emit_message(true, 'x', repeat('x', 3000000)); commit`);
    expect(await texts(look({ maxSlotBytes: 2_000_000 }))).toEqual([
      expect.stringMatching(/^hold: WAL kept for slot [34]\.\d MB > 2\.0 MB \(old\)$/),
    ]);
    expect(await texts(look({ maxSlotBytes: 100_000_000 }))).toEqual([]);
    await client.query(`select pg_drop_replication_slot('old')`);
    expect(await texts(look({ maxSlotBytes: 1 }))).toEqual([]);
  });

  it('WAL that is not archived, because archive_command fails', async () => {
    await client.query(`alter system set archive_command = 'false'`);
    await client.query('select pg_reload_conf()');
    const source = look({ maxArchiveBytes: 16_777_215 });
    const failing = await until('it fails', async () => {
      await client.query(`select pg_logical_emit_message(true, 'x', repeat('x', 9000000)), pg_switch_wal()`);
      const found = await texts(source);
      return found.some((text) => text.includes('fails')) ? found : null;
    });
    expect(failing[0]).toMatch(/^hold: WAL to archive \d+ MB > \d+ MB \(archive_command fails\)$/);
    await client.query(`alter system set archive_command = 'true'`);
    await client.query('select pg_reload_conf()');
    await until('all is archived', async () => {
      await client.query('select pg_switch_wal()');
      return (await texts(look({ maxArchiveBytes: 100_000_000 }))).length === 0;
    });
  });

  it('WAL per second', async () => {
    const source = look({ maxWalPerSecond: 1_000 });
    expect(await texts(source)).toEqual([]);
    const found = await until('it is known', async () => {
      await client.query(`select pg_logical_emit_message(false, 'x', repeat('x', 100000))`);
      const seen = await texts(source);
      return seen.length > 0 ? seen : null;
    });
    expect(found[0]).toMatch(/^hold: WAL \S+ [kM]B\/s > 1\.0 kB\/s$/);
  });

  it('dead tuples of the table, until it is vacuumed', async () => {
    await client.query('update counters set n = n + 1');
    const source = look({ maxDeadTuples: 5_000 });
    const found = await until('the statistics are there', async () => {
      const seen = await texts(source);
      return seen.length > 0 ? seen : null;
    });
    expect(found).toEqual([
      expect.stringMatching(/^hold: dead tuples 10,00\d > 5,000 \(public\.counters\)$/),
    ]);
    await client.query('vacuum counters');
    await until('they are gone', async () => (await texts(source)).length === 0);
  });

  it('sessions of others at work, and none of this tool', async () => {
    const [one, two, own] = [await another(), await another(), await another('1')];
    const source = look({ maxActiveSessions: 1 });
    const working = [one, two, own].map((on) => on.query('select pg_sleep(600)').catch(() => undefined));
    await until('both are seen', async () => (await texts(source))[0] === 'hold: active sessions 2 > 1');
    let isOver = false;
    const all = Promise.all(working).then(() => (isOver = true));
    // Again and again: the third one may only now begin to sleep.
    await until('all are cancelled', async () => {
      await client.query(`select pg_cancel_backend(pid) from pg_stat_activity where query like '%sleep(600)'
        and pid <> pg_backend_pid()`);
      return isOver;
    });
    await all;
    expect(await texts(source)).toEqual([]);
  });

  it('the oldest transaction that keeps vacuum from its work, a prepared one too', async () => {
    const old = await another();
    const source = look({ maxTransactionAgeMs: 1 });
    expect(await texts(source)).toEqual([]);
    await old.query('begin isolation level repeatable read; select from counters limit 1');
    expect(await texts(source)).toEqual([
      expect.stringMatching(
        new RegExp(`^hold: oldest transaction 0\\.\\d s > 0\\.0 s \\(pid ${await pidOf(old)}\\)$`),
      ),
    ]);
    await old.query('rollback');
    await old.query(`begin; update counters set n = 1 where id = 1; prepare transaction 'two phases'`);
    expect(await texts(source)).toEqual([expect.stringMatching(/ \(prepared two phases\)$/)]);
    await old.query(`rollback prepared 'two phases'`);
    expect(await texts(source)).toEqual([]);
  });

  it('connections that are left, in the server, the database and for the role', async () => {
    const before = await texts(look({ minFreeConnections: 20 }));
    expect(before).toEqual([]);
    for (let index = 0; index < 8; index += 1) await another();
    expect(await texts(look({ minFreeConnections: 20 }))).toEqual([
      expect.stringMatching(/^slow: free connections 1\d < 20$/),
    ]);
    await client.query('create role few login connection limit 3');
    const url = new URL(server.url);
    Object.assign(url, { username: 'few', password: 'few' });
    await client.query(`alter role few password 'few'`);
    const few = await openSession(url.href);
    onTestFinished(() => few.end());
    expect(await texts(look({ minFreeConnections: 3 }, { on: few }))).toEqual([
      'slow: free connections 2 < 3',
    ]);
    expect(await texts(look({}, { on: few, isDefault: true }))).toEqual([]);
  });

  it('a vacuum of the table, which holds where that is asked for', async () => {
    await client.query('update counters set n = n + 1');
    const vacuuming = await another();
    await vacuuming.query('set vacuum_cost_delay = 100; set vacuum_cost_limit = 1');
    const done = vacuuming.query('vacuum counters').catch(() => undefined);
    const [hold, usual] = [look({}, { duringVacuum: 'hold' }), look({}, { duringVacuum: 'auto' })];
    const found = await until('it has begun', async () => {
      const seen = await texts(hold);
      return seen.length > 0 ? seen : null;
    });
    expect(found[0]).toMatch(/^hold: vacuum of public\.counters \(pid \d+\)$/);
    expect(await texts(usual)).toEqual([]);
    await client.query(`select pg_cancel_backend(pid) from pg_stat_progress_vacuum`);
    await done;
    expect(await texts(hold)).toEqual([]);
  });

  it(
    'an autovacuum against wraparound, which slows a run down by default',
    { timeout: 120_000 },
    async () => {
      await client.query(`update counters set n = n + 1;
      alter table counters set (autovacuum_freeze_max_age = 100000, autovacuum_vacuum_cost_delay = 100,
                                autovacuum_vacuum_cost_limit = 1);
      create procedure spend() language plpgsql as
        $$ begin for i in 1..101000 loop perform pg_current_xact_id(); commit; end loop; end $$`);
      await client.query('call spend()');
      const usual = look({}, { duringVacuum: 'auto' });
      const found = await until('autovacuum has come', async () => {
        const seen = await texts(usual);
        return seen.length > 0 ? seen : null;
      });
      expect(found[0]).toMatch(/^slow: vacuum of public\.counters to prevent wraparound \(pid \d+\)$/);
      await client.query(
        'alter table counters reset (autovacuum_vacuum_cost_delay, autovacuum_vacuum_cost_limit)',
      );
      await client.query('select pg_terminate_backend(pid) from pg_stat_progress_vacuum');
    },
  );

  it('what the role may not see holds where somebody has asked for it, and nothing else does', async () => {
    await client.query(`create role blind login password 'blind'`);
    const url = new URL(server.url);
    Object.assign(url, { username: 'blind', password: 'blind' });
    const blind = await openSession(url.href);
    onTestFinished(() => blind.end());
    expect(await texts(look({ maxActiveSessions: 1 }, { on: blind }))).toEqual([
      'hold: active sessions cannot be read: the role may not see what other sessions do',
    ]);
    // All other signals of a role without rights, by default and asked for.
    const usual = limitsOf(defaultTuning(1), { asked: [], critical: {} }, {});
    const options = { settings: plainSettings, table: null, duringVacuum: 'auto' as const };
    const source = new ServerSource({ ...options, ask: (work) => work(blind), limits: () => usual });
    expect(await texts(source)).toEqual([]);
    const [chunk, other] = [await another('1'), await another()];
    await chunk.query('begin; update counters set n = 1 where id = 1');
    const waiting = other.query('update counters set n = 1 where id = 1');
    const found = await until('a waiter is seen without rights', async () => {
      const seen = await texts(source);
      return seen.length > 0 ? seen : null;
    });
    expect(found[0]).toMatch(/^hold: lock waiters 1 > 0/);
    // What cannot be read for a moment is what it was before.
    const asked = look({ maxLockWaiters: 0 }, { on: blind });
    const seen = await texts(asked);
    expect(seen).toEqual(found);
    await client.query('revoke execute on function pg_lock_status() from public');
    expect(await texts(asked)).toEqual(seen);
    await client.query('grant execute on function pg_lock_status() to public');
    await chunk.query('rollback');
    await waiting;
  });

  it('a statement that fails as a whole is tried in parts', async () => {
    const failing = look({ maxArchiveBytes: 1_000_000_000, maxLockWaiters: 0 });
    const url = new URL(server.url);
    Object.assign(url, { username: 'blind', password: 'blind' });
    const blind = await openSession(url.href);
    onTestFinished(() => blind.end());
    await client.query('revoke execute on function pg_lock_status() from public');
    const seen = await texts(look({ maxLockWaiters: 0, maxSlotBytes: 1_000_000_000 }, { on: blind }));
    await client.query('grant execute on function pg_lock_status() to public');
    expect(seen).toEqual([
      'hold: lock waiters cannot be read: permission denied for function pg_lock_status',
    ]);
    expect(await texts(failing)).toEqual([]);
  });
});

describe('what the knexfile names', () => {
  const never = new AbortController().signal;
  const answers = async (source: {
    read(signal: AbortSignal): Promise<readonly Signal[]>;
  }): Promise<readonly string[]> =>
    (await source.read(never)).map(({ response, text }) => `${response}: ${text}`);

  it('a file holds while it exists, and its first line is the reason', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'throttle-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'hold');
    const source = fileSource(file);
    expect(await answers(source)).toEqual([]);
    writeFileSync(file, '');
    expect(await answers(source)).toEqual([`hold: file: ${file} exists`]);
    writeFileSync(file, 'slow: backups run\nask Ann\n');
    expect(await answers(source)).toEqual(['slow: file: backups run']);
    await expect(fileSource(folder).read(never)).rejects.toThrow('EISDIR');
  });

  it('an endpoint holds by its status, or by what it says', async () => {
    let answer: [number, string] = [200, 'OK'];
    const http = createServer((_request, response) => response.writeHead(answer[0]).end(answer[1]));
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void http.close());
    const { port } = http.address() as AddressInfo;
    const source = urlSource(new URL(`http://127.0.0.1:${port}/secret-path`));
    const name = `url (127.0.0.1:${port})`;
    const given: readonly (readonly [[number, string], string | null])[] = [
      [[200, 'OK'], null],
      [[204, ''], null],
      [[200, '{"hold":false}'], null],
      [[503, 'busy'], `hold: ${name}: answered 503`],
      [[200, 'hold: a deploy runs'], `hold: ${name}: a deploy runs`],
      [[200, '{"slow":"many orders"}'], `slow: ${name}: many orders`],
      [[200, '{"abort":true}'], `abort: ${name}: asked to abort`],
    ];
    for (const [next, expected] of given) {
      answer = next;
      expect(await answers(source), next[1]).toEqual(expected === null ? [] : [expected]);
    }
    http.closeAllConnections();
    await new Promise((resolve) => http.close(resolve));
    const closed = urlSource(new URL(`http://127.0.0.1:${port}/`));
    await expect(closed.read(never)).rejects.toThrow(/ECONNREFUSED|closed/);
  });

  it('a query is read only, under the search path of the author, and its first value decides', async () => {
    await client.query('create schema own; create table own.jobs (id int)');
    const options = { ask: <T>(work: (on: Session) => Promise<T>) => work(session), settings: plainSettings };
    const query = (sql: string) => querySource(sql, { ...options, searchPath: ['own'] });
    expect(await answers(query('select count(*) from jobs'))).toEqual([]);
    expect(await answers(query('select 1 where false'))).toEqual([]);
    await client.query('insert into own.jobs values (1)');
    expect(await answers(query('select count(*) from jobs'))).toEqual(['hold: query: 1']);
    expect(await answers(query(`select 'abort: ' || count(*) || ' jobs' from jobs`))).toEqual([
      'abort: query: 1 jobs',
    ]);
    await expect(query('delete from jobs returning 1').read(never)).rejects.toThrow('read-only');
    await expect(query('select 1; select 2').read(never)).rejects.toThrow('multiple commands');
    await expect(query('select from nowhere').read(never)).rejects.toThrow('nowhere');
  });

  it('a function is told the migration, and may answer later', async () => {
    const source = checkSource(async ({ migration }) => await Promise.resolve(`${migration} waits`), 'a');
    expect(await answers(source)).toEqual(['hold: check: a waits']);
    expect(await answers(checkSource(() => undefined, 'a'))).toEqual([]);
    await expect(
      checkSource(() => {
        throw new Error('no');
      }, 'a').read(never),
    ).rejects.toThrow('no');
  });
});
