import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { expectEachOnce } from '../support/behind-pgbouncer.ts';
import { rowsDone, run, start, until } from '../support/cli.ts';
import { connect } from '../support/database.ts';
import { counterRows, createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';
import { type TestServer, startTestServer } from '../support/server.ts';
import { type Standby, startStandby } from '../support/standby.ts';

const timeout = 120_000;
// What a run writes is several times as much, so that it cannot end while nothing is replayed.
const maxLagBytes = 300_000;
const settings = { fsync: 'off', full_page_writes: 'off', autovacuum: 'off' };
const args = ['up', '--workers', '2', '--chunk-size', '200'];

let server: TestServer;
let standby: Standby;
let client: pg.Client;

beforeAll(async () => {
  server = await startTestServer({ settings });
  standby = await startStandby(server, settings, 'far away');
  client = await connect(server.url);
}, timeout);

afterAll(async () => {
  await standby?.stop();
  await client?.end();
  await server?.remove();
});

afterEach(async () => {
  await standby.client.query('select pg_wal_replay_resume()');
  await client.query(`drop schema if exists umzug_cluster cascade; drop table if exists counters, writes;
    drop function if exists note_write`);
});

const place = (env: NodeJS.ProcessEnv = {}, url = server.url, sleep = 0) => ({
  cwd: makeProject({ 'a.ts': rowsMigration(sleep) }).dir,
  url,
  env: { UMZUG_CLUSTER_MAX_LAG_BYTES: String(maxLagBytes), ...env },
});

/** Waits until the standby has replayed all that was written. */
async function caughtUp(): Promise<void> {
  const sql = `select from pg_stat_replication where state = 'streaming' and replay_lsn = pg_current_wal_lsn()`;
  await until('the standby has replayed all', async () => (await client.query(sql)).rowCount);
}

describe('a replica that does not keep up', () => {
  it(
    'holds a run back, which says for whom, and goes on when the replica has caught up',
    { timeout },
    async () => {
      await client.query(createCounters);
      await caughtUp();
      await standby.client.query('select pg_wal_replay_pause()');
      const up = start(args, place());
      await up.says(/held back: replica lag \d+ kB > 300 kB \(far away\)/);
      const held = await rowsDone(client);
      expect(held).toBeLessThan(counterRows);
      await until('status says so', async () => {
        const { stdout } = await run(['status', '--json'], place());
        const [status] = (JSON.parse(stdout) as { migrations: { throttled: string | null }[] }).migrations;
        return /^replica lag \d+ kB > 300 kB \(far away\)$/.test(status?.throttled ?? '');
      });
      await standby.client.query('select pg_wal_replay_resume()');
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      await expectEachOnce(client);
      // For as long as it was held back, nobody passed for dead.
      expect(stderr).not.toMatch(/worker \d+ died|chunk\.retry|row\.quarantined/);
    },
  );

  it('holds a run back by time too, which grows while replay is paused', { timeout }, async () => {
    await client.query(createCounters);
    await caughtUp();
    await standby.client.query('select pg_wal_replay_pause()');
    const here = place(
      { UMZUG_CLUSTER_MAX_LAG_BYTES: 'off', UMZUG_CLUSTER_MAX_LAG_MS: '1s' },
      server.url,
      0.2,
    );
    const up = start(args, here);
    await up.says(/held back: replica lag (?:[1-9]\.\d|\d\d) s > 1\.0 s \(far away\)/);
    // So many seconds later it is so still, though nothing is written: what the server itself says stands still.
    await up.says(/held back: replica lag (?:[3-9]\.\d|\d\d) s > 1\.0 s \(far away\)/);
    expect(await rowsDone(client)).toBeLessThan(counterRows);
    await standby.client.query('select pg_wal_replay_resume()');
    hurry(here.cwd);
    const { code, stderr } = await up.outcome;
    expect(code, stderr).toBe(0);
    await expectEachOnce(client);
  });

  it('keeps no signal from ending a run that it holds back', { timeout }, async () => {
    await client.query(createCounters);
    await caughtUp();
    await standby.client.query('select pg_wal_replay_pause()');
    const here = place();
    const up = start(args, here);
    await up.says(/replica lag/);
    process.kill(up.pid, 'SIGTERM');
    expect((await up.outcome).code).toBe(143);
    await standby.client.query('select pg_wal_replay_resume()');
    const again = await run(args, here);
    expect(again.code, again.stderr).toBe(0);
    await expectEachOnce(client);
  });

  it(
    'is refused to be asked for by a role that may not see it, before anything is written',
    { timeout },
    async () => {
      await client.query(`create role blind login password 'blind'`);
      await client.query('create database other owner blind');
      const url = new URL(server.url);
      Object.assign(url, { pathname: '/other', username: 'blind', password: 'blind' });
      const own = await connect(url.href);
      await own.query('create table counters (id bigint primary key, n int)');
      const refused = await run(args, place({}, url.href));
      expect(refused.code, refused.stderr).toBe(2);
      expect(refused.stderr).toMatch(/maxLagBytes .*may not see .*\n.*grant pg_read_all_stats to "blind"/);
      expect((await own.query(`select to_regnamespace('umzug_cluster') as ledger`)).rows).toEqual([
        { ledger: null },
      ]);
      await client.query('grant pg_read_all_stats to blind');
      const allowed = await run(args, place({}, url.href));
      expect(allowed.code, allowed.stderr).toBe(0);
      await own.end();
    },
  );
});
