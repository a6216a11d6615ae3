import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { serverAccount, spawnOptionsOf } from '../../src/postgres/embedded/account.ts';
import { startEmbedded } from '../../src/postgres/embedded/index.ts';
import { expectEachOnce } from '../support/behind-pgbouncer.ts';
import { childrenOf, kill, rowsDone, run, start, until } from '../support/cli.ts';
import { connect } from '../support/database.ts';
import { recordsIn, recordsOf } from '../support/log-records.ts';
import { createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';
import { startProxy } from '../support/proxy.ts';
import { startTestServer } from '../support/server.ts';
import { startStandby } from '../support/standby.ts';

// Two servers, a copy of one, and a promotion take a minute: FAULTS_LONG=1.
const isLong = process.env['FAULTS_LONG'] === '1';
const timeout = 120_000;

/** Starts a server again as a standby, on which nobody may write until it is promoted. */
async function restartAsStandby(dataDir: string): Promise<void> {
  const [postmaster = ''] = readFileSync(path.join(dataDir, 'postmaster.pid'), 'utf8').split('\n');
  const [program = '', ...args] = readFileSync(`/proc/${postmaster}/cmdline`, 'utf8')
    .split('\0')
    .slice(0, -1);
  process.kill(Number(postmaster), 'SIGINT');
  await until('the server has stopped', () => !existsSync(path.join(dataDir, 'postmaster.pid')));
  writeFileSync(path.join(dataDir, 'standby.signal'), '');
  spawn(program, args, { ...spawnOptionsOf(serverAccount()), detached: true, stdio: 'ignore' }).unref();
}

it(
  'goes on unattended when a standby becomes the primary; one that stays read-only ends the command with 4',
  async () => {
    const server = await startTestServer();
    try {
      const { dataDir } = await startEmbedded(server.projectDir);
      const before = await connect(server.url);
      await before.query(createCounters);
      const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.3) }).dir, url: server.url };
      const up = start(['up', '--log-format', 'json', '--workers', '2', '--chunk-size', '200'], place);
      await until('rows are migrated', () => rowsDone(before));
      await before.end();
      await restartAsStandby(dataDir);
      await up.says(/"waiting":"(reconnecting to|trying again on) 127\.0\.0\.1:\d+.*gives up in \d+ s"/);
      const standby = await until('the standby lets clients in', () => connect(server.url).catch(() => null));
      const done = await rowsDone(standby);

      // Whoever would try again would say that it cannot work with the database.
      for (const command of ['up', 'plan', 'down']) {
        const refused = await run([command], place);
        expect(refused.code, refused.stderr).toBe(4);
        expect(refused.stderr).toMatch(/ is read-only: the server is a standby[^]*no progress is lost/);
      }
      const status = await run(['status'], place);
      expect(status.code, status.stderr).toBe(0);

      expect(await rowsDone(standby), 'nothing is written meanwhile').toBe(done);
      hurry(place.cwd);
      await standby.query('select pg_promote()');
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      await expectEachOnce(standby);
      await standby.end();
    } finally {
      await server.remove();
    }
  },
  timeout,
);

it(
  'says that chunks wait for a synchronous standby, with neither rate nor time left',
  async () => {
    const server = await startTestServer({ settings: { synchronous_commit: 'on' } });
    try {
      const admin = await connect(server.url);
      await admin.query(createCounters);
      const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.3) }).dir, url: server.url };
      const up = start(['up', '--log-format', 'json', '--workers', '1', '--chunk-size', '200'], place);
      await until('rows are migrated', () => rowsDone(admin));
      const waitFor = async (standby: string): Promise<void> => {
        await admin.query(`alter system set synchronous_standby_names to '${standby}'`);
        await admin.query('select pg_reload_conf()');
      };
      await waitFor('nobody');
      await up.says(/"waiting":"the server, SyncRep/);
      hurry(place.cwd);
      await waitFor('');
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      const told = recordsOf(recordsIn(stderr), 'run.progress').filter(({ waiting }) =>
        String(waiting).includes('SyncRep'),
      );
      expect(told[0]).toMatchObject({ rowsPerSecond: null, etaSeconds: null });
      await expectEachOnce(admin);
      await admin.end();
    } finally {
      await server.remove();
    }
  },
  timeout,
);

/** As where its machine is gone: no process of it says a word more. */
function killServer(dataDir: string): void {
  const [postmaster = ''] = readFileSync(path.join(dataDir, 'postmaster.pid'), 'utf8').split('\n');
  const backends = childrenOf(Number(postmaster));
  for (const pid of [Number(postmaster), ...backends]) kill(pid);
}

/** A connection string with the hosts of both. */
function bothHosts(one: string, other: string): string {
  const { host } = new URL(other);
  return `${one.replace(/(@[^/]+)/, `$1,${host}`)}?target_session_attrs=read-write`;
}

it.runIf(isLong).each([
  [
    'the middle of its run',
    true,
    0,
    /a: the database went back in time: at least [\d,]+ migrated rows are undone/,
  ],
  [
    'before its run',
    false,
    4,
    /^error: a: the database went back in time, to before this command started its run$/m,
  ],
])(
  'works on an asynchronous standby that takes over as of %s, and data and ledger agree',
  async (_when, isInTheMiddle, expected, message) => {
    const server = await startTestServer();
    const proxy = await startProxy(server.url, () => 'pass');
    try {
      const { dataDir } = await startEmbedded(server.projectDir);
      const standby = await startStandby(server, {}, 'behind', proxy.url(server.url));
      const before = await connect(server.url);
      await before.query(createCounters);
      const has = async (rows: number): Promise<boolean> => (await rowsDone(standby.client)) >= rows;
      const there = async (): Promise<boolean> =>
        (await standby.client.query(`select to_regclass('writes') as there`)).rows[0]?.there !== null;
      await until('the standby has the table', there);
      if (!isInTheMiddle) proxy.block('both');
      const { dir } = makeProject({ 'a.ts': rowsMigration(0.3) });
      const place = { cwd: dir, url: bothHosts(server.url, standby.url) };
      const up = start(['up', '--workers', '2', '--chunk-size', '100'], place);
      if (isInTheMiddle) await until('the standby has a part of the run', () => has(500));
      proxy.block('both');
      const kept = await rowsDone(standby.client);
      await until('more is migrated', async () => (await rowsDone(before)) >= kept + 1_000);
      before.on('error', () => undefined);
      killServer(dataDir);
      await standby.client.query('select pg_promote()');
      const { rows } = await standby.client.query(
        'select (select sum(n) from counters)::int as data, (select count(*) from writes)::int as writes',
      );
      hurry(dir);
      const { code, stderr } = await up.outcome;
      expect(rows, 'what was lost is lost in both').toEqual([{ data: kept, writes: kept }]);
      expect(stderr).toMatch(message);
      expect(code, stderr).toBe(expected);
      if (code !== 0) expect(await run(['up'], place)).toMatchObject({ code: 0 });
      await expectEachOnce(standby.client);
      await standby.stop();
    } finally {
      await proxy.close();
      await server.remove();
    }
  },
  timeout,
);
