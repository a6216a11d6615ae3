import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type pg from 'pg';
import { expect, it, onTestFinished } from 'vitest';
import { ledgerVersion } from '../../src/ledger/schema.ts';
import { waitingSessions } from '../support/audit.ts';
import { type Running, killGroup, rowsDone, run, start, until } from '../support/cli.ts';
import { shortTimers } from '../support/far.ts';
import { type Host, makeNetwork, noNetwork } from '../support/network.ts';
import { copyProduct } from '../support/product-copy.ts';
import { counterRows, createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';
import { startWorker } from '../support/worker.ts';

/** Hosts with addresses, names and cables of their own, as namespaces of the kernel: nothing of the network is simulated. */

const isLong = process.env['FAULTS_LONG'] === '1';
const timeout = 480_000;
const rounds = Array.from({ length: isLong ? 6 : 1 }, (_, round) => round + 1);
const reason = noNetwork();
if (reason !== null) console.error(reason);

const createTables = `export const up = async (db) => { await db.raw(${JSON.stringify(createCounters)}); };`;

/** Writes down who commits each chunk from now on: a host's name, and when. */
const logChunks = `
  create table chunk_log (host text not null, at timestamptz not null default clock_timestamp());
  create function log_chunk() returns trigger language plpgsql as
    $$ begin insert into public.chunk_log (host) values (split_part(new.worker, ':', 1)); return null; end $$;
  create trigger log_chunk after update of chunks on umzug_cluster.ranges for each row
    when (new.chunks > old.chunks) execute function log_chunk();`;

async function expectEachOnce(client: pg.Client): Promise<void> {
  const { rows } = await client.query(
    `select (select array_agg(distinct n) from counters) as n, (select count(*)::int from writes) as writes,
            (select count(distinct id)::int from writes) as ids,
            (select string_agg(state, ' ') from umzug_cluster.runs) as runs`,
  );
  expect(rows).toEqual([{ n: [1], writes: counterRows, ids: counterRows, runs: 'done' }]);
}

/** Waits until each of these hosts has committed a chunk, or one of them has ended without it. */
async function allWork(client: pg.Client, hosts: Readonly<Record<string, Running>>): Promise<void> {
  const left = new Map(Object.entries(hosts));
  await until(`${[...left.keys()].join(', ')} have committed chunks`, async () => {
    const { rows } = await client.query<{ host: string }>('select distinct host from chunk_log');
    for (const { host } of rows) left.delete(host);
    for (const [name, { child, outcome }] of left)
      if (child.exitCode !== null) throw new Error(`${name} ended: ${(await outcome).stderr}`);
    return left.size === 0;
  });
}

/** The tables and a ledger are there before any host begins. */
async function prepared(client: pg.Client, url: string): Promise<void> {
  const { dir: cwd } = makeProject({ '1-tables.ts': createTables });
  expect(await run(['up'], { cwd, url })).toMatchObject({ code: 0 });
  await client.query(logChunks);
}

it(
  'shares a run evenly: no host has nothing to do while another has more than a few chunks left',
  async ({ skip }) => {
    if (reason !== null) return skip(reason);
    const network = await makeNetwork();
    const { client, url } = network;
    await prepared(client, url);
    const gated = rowsMigration(0.05).replace(
      'async (db, rows) => {',
      `async (db, rows) => { await db.raw('select pg_advisory_xact_lock_shared(1)');`,
    );
    await client.query('select pg_advisory_lock(1)');
    const names = ['north', 'south', 'east', ...(isLong ? ['west', 'centre'] : [])];
    const env = { UMZUG_CLUSTER_LANES: '1', UMZUG_CLUSTER_LOCK_TIMEOUT_MS: '60000' };
    const hosts = names.map((name) => {
      const { dir: cwd } = makeProject({ '1-tables.ts': createTables, '2-count.ts': gated });
      const { within } = network.plugIn(name);
      return start(['up', '--workers', '2', '--chunk-size', '100'], { cwd, url, env, within });
    });
    await until('a chunk of both processes of all hosts waits', async () => {
      for (const { child, outcome } of hosts)
        if (child.exitCode !== null) throw new Error((await outcome).stderr);
      return (await waitingSessions(client)) >= 2 * names.length;
    });
    await client.query('select pg_advisory_unlock(1)');
    for (const { outcome } of hosts) {
      const { code, stderr } = await outcome;
      expect(code, stderr).toBe(0);
    }
    const { rows } = await client.query<{ host: string; chunks: number; after: number }>(
      `select one.host, count(*)::int as chunks,
              (select coalesce(max(n), 0)::int from (
                 select count(*) as n from chunk_log as o
                 where o.host <> one.host and o.at > max(one.at) group by o.host) as others) as after
       from chunk_log as one group by one.host`,
    );
    expect(rows.map(({ host }) => host).toSorted()).toEqual(names.toSorted());
    for (const { host, chunks, after } of rows) {
      expect(chunks, `chunks of ${host}`).toBeGreaterThan(counterRows / 100 / names.length / 2);
      // two are under way in any other host
      expect(after, `chunks of another host after the last one of ${host}`).toBeLessThanOrEqual(6);
    }
    await expectEachOnce(client);
  },
  timeout,
);

/** The same product with the ledger of the release before. */
function olderBuild(): string {
  const schema = 'ledger/schema.js';
  const { cli, remove } = copyProduct([
    { file: schema, from: `ledgerVersion = ${ledgerVersion};`, to: `ledgerVersion = ${ledgerVersion - 1};` },
    {
      file: schema,
      from: `oldestVersion = ${ledgerVersion - 1};`,
      to: `oldestVersion = ${ledgerVersion - 2};`,
    },
  ]);
  onTestFinished(remove);
  return cli;
}

it.skipIf(reason !== null).each(rounds)(
  'migrates each row once on hosts that come late, leave, are killed, are cut off, have bad cables, other clocks or an older release, round %i',
  async () => {
    const network = await makeNetwork();
    const { client, url } = network;
    await prepared(client, url);
    const { dir: cwd } = makeProject({ '1-tables.ts': createTables, '2-count.ts': rowsMigration(0.3) });
    // Chunks are so many that the run lasts, however slow this machine is, until they are made larger.
    const few = ['--workers', isLong ? '2' : '1', '--chunk-size', '10'];
    const hosts = new Map<string, Host>();
    const on = (name: string, more: NodeJS.ProcessEnv = {}) => {
      const host = network.plugIn(name);
      hosts.set(name, host);
      // or the run is over before the last host has started: chunks that wait get more and more lanes
      const env = { ...shortTimers, UMZUG_CLUSTER_LANES: '1', ...more };
      return { cwd, url, env, within: host.within, address: host.address };
    };
    const up = (name: string, more?: NodeJS.ProcessEnv): Running => start(['up', ...few], on(name, more));
    const clock = path.join(cwd, 'clock.cjs');
    writeFileSync(clock, `const { now } = Date; Date.now = () => now() + ${3 * 86_400_000};`);

    const steady = up('steady');
    await until('the first host works', async () => (await rowsDone(client)) > 0);
    const future = up('future', { NODE_OPTIONS: `--require ${clock}` });
    const island = up('island', { UMZUG_CLUSTER_RETRY_BUDGET_MS: '2000' });
    const victim = up('victim');
    const leaver = await startWorker(on('leaver'), ...few);
    await allWork(client, { steady, future, island, victim, leaver });
    hosts.get('future')?.worsen();
    hosts.get('island')?.cut();
    killGroup(victim.pid);
    leaver.child.kill('SIGTERM');
    expect((await leaver.outcome).code, (await leaver.outcome).stderr).toBe(0);
    const late = await startWorker(on('late'), ...few);
    await allWork(client, { late });
    const place = { ...on('older'), build: olderBuild() };
    const older = await start(['up'], place).outcome;
    expect(older.code, older.stderr).toBe(3);
    expect(older.stderr).toContain(`has version ${ledgerVersion}`);
    const olderWorker = await startWorker(place);
    expect((await olderWorker.is('refused')).message).toContain(`has version ${ledgerVersion}`);
    olderWorker.child.kill('SIGTERM');
    // nobody tells it that its cable was pulled, nor the server
    expect((await island.outcome).code, (await island.outcome).stderr).toBe(4);
    hurry(cwd);
    expect(await run(['set', '2-count', 'chunkSize=2000'], { cwd, url })).toMatchObject({ code: 0 });
    for (const { outcome } of [steady, future]) {
      const { code, stderr } = await outcome;
      expect(code, stderr).toBe(0);
    }
    await late.is('waiting');
    late.child.kill('SIGTERM');
    expect((await late.outcome).code).toBe(0);
    await expectEachOnce(client);
  },
  timeout,
);
