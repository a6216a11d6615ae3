import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import os from 'node:os';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../test/support/cli.ts';
import { startProxy } from '../../test/support/proxy.ts';
import { quantile, runProgram } from '../compare.ts';
import { type Bench, productCli } from '../context.ts';
import { cpuOf } from '../cpu-time.ts';
import {
  type Costs,
  type Machines,
  chunkOf,
  ledgerLimitRows,
  predict,
  rowsAtTarget,
  splitCosts,
} from '../model.ts';
import { makeBenchProject } from '../project.ts';
import { markdown, ms } from '../report.ts';
import type { BenchServer } from '../server.ts';
import { createOriginal, resetTable } from '../table.ts';

/** Rows of the tables: of the one for rates, and of a part of it that is migrated as a whole. */
const allRows = 250_000;
const partRows = 60_000;
/** Chunks are small, so that what each of them costs is seen, and many lanes find something to do for long. */
const small = 100;
const large = 1_000;
const workers = [1, 2, 4, 8];
// What an author's code may wait for: then lanes are what limits a run here, too.
const waitsMs = [0, 25];
const measuredMs = 3_000;

/** A migration that can be run again and again. */
const change = (table: string, waitMs: number): string => `
export const select = (db) => db('${table}').select('id');
export const update = async (db, rows) => {
  ${waitMs > 0 ? `await db.raw('select pg_sleep(${waitMs / 1_000})');` : ''}
  await db('${table}').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ rooms: db.raw('rooms + 1') });
};`;

/** Costs that are measured here, rates that the model predicts from them beside those that are measured, and an outlook. */
export async function modelSuite({ server, say }: Bench): Promise<string> {
  await createOriginal(server.client, { rows: allRows, key: 'uuid', width: 'narrow' });
  await resetTable(server.client);
  await server.client.query(`create table part (like properties including all);
    insert into part select * from properties limit ${partRows}; analyze part`);
  const foreign = foreignCores();
  const found = await measureCosts(server, say);
  const others = await foreign(server);
  const checks = await checkRates(server, say);
  const busiest = checks.find(({ lanes, waitMs }) => lanes === workers.at(-1) && waitMs === 0);
  const ledgerMs = await measureLedger(server);
  const costs = { ...found.costs, perChunk: { ...found.costs.perChunk, ledgerMs } };
  return [
    `While costs were measured, other programs kept ${others.toFixed(1)} of ${os.availableParallelism()} cores busy: with more than a little, neither the costs nor what they predict are worth much.`,
    costTable(costs, found),
    rateTable(checks, costs),
    `Lock waits of ${workers.at(-1)} lanes: ${(100 * (busiest?.locked ?? 0)).toFixed(1)} % of their time.`,
    outlook(costs, found),
  ].join('\n\n');
}

interface Found {
  readonly costs: Costs;
  /** Round trips of a chunk, the author's statement included, and how long one takes here. */
  readonly trips: number;
  readonly tripMs: number;
}

async function measureCosts(server: BenchServer, say: (line: string) => void): Promise<Found> {
  const runs = [
    await measuredRun(server, 'part', small),
    await measuredRun(server, 'part', large),
    await measuredRun(server, 'properties', large),
  ] as const;
  for (const run of runs) say(JSON.stringify(run));
  const [one, two, three] = runs;
  const split = (cost: (run: Whole) => number) =>
    splitCosts([
      { ...one, cost: cost(one) },
      { ...two, cost: cost(two) },
      { ...three, cost: cost(three) },
    ]);
  const client = split((run) => run.clientMs);
  const serverSide = split((run) => run.serverMs);
  // The start of the program is the same for each, and falls out: what is left is chunk after chunk, COMMIT included.
  const whole = split((run) => run.wallMs);
  const wal = split((run) => run.walBytes);
  const wait = (which: 'perChunk' | 'perRow'): number =>
    Math.max(0, whole[which] - client[which] - serverSide[which]);
  const { trips, tripMs } = await measureTrips(server);
  return {
    costs: {
      perChunk: {
        clientMs: client.perChunk,
        serverMs: serverSide.perChunk,
        waitMs: wait('perChunk'),
        walBytes: wal.perChunk,
        ledgerMs: 0,
      },
      perRow: {
        clientMs: client.perRow,
        serverMs: serverSide.perRow,
        waitMs: wait('perRow'),
        walBytes: wal.perRow,
      },
    },
    trips,
    tripMs,
  };
}

interface Whole {
  readonly rows: number;
  readonly chunks: number;
  readonly clientMs: number;
  readonly serverMs: number;
  readonly wallMs: number;
  readonly walBytes: number;
}

/** A whole run by one lane. */
async function measuredRun(server: BenchServer, table: string, chunkSize: number): Promise<Whole> {
  const cwd = await freshProject(server, change(table, 0));
  // Each page is written whole into the WAL once after it.
  await server.client.query('checkpoint');
  const [before, walBefore] = [await cpuOf(server.client), await walOf(server)];
  const startedAt = performance.now();
  await runProgram(process.execPath, upArgs(1, chunkSize), { cwd, env: environment(server.url) });
  const wallMs = performance.now() - startedAt;
  const after = await cpuOf(server.client);
  const { rows } = await server.client.query<Record<string, number>>(
    `select sum(rows)::int as rows, sum(chunks)::int as chunks from umzug_cluster.ranges`,
  );
  const { rows: done = 0, chunks = 0 } = rows[0] ?? {};
  return {
    rows: done,
    chunks,
    clientMs: after.programs - before.programs,
    serverMs: after.server - before.server,
    wallMs,
    walBytes: (await walOf(server)) - walBefore,
  };
}

async function walOf(server: BenchServer): Promise<number> {
  const { rows } = await server.client.query(
    `select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 as at`,
  );
  return Number(rows[0]?.at);
}

/** Round trips are what the server is asked to answer: a Query or a Sync. */
async function measureTrips(server: BenchServer): Promise<{ trips: number; tripMs: number }> {
  const count = async (chunkSize: number): Promise<{ asked: number; chunks: number }> => {
    let asked = 0;
    const proxy = await startProxy(server.url, ({ type }) => {
      if (type === 'Q' || type === 'S') asked += 1;
      return 'pass';
    });
    const cwd = await freshProject(server, change('part', 0));
    const env = environment(proxy.url(server.url));
    await runProgram(process.execPath, upArgs(1, chunkSize), { cwd, env });
    await proxy.close();
    const { rows } = await server.client.query('select sum(chunks)::int as n from umzug_cluster.ranges');
    return { asked, chunks: Number(rows[0]?.n) };
  };
  const [many, few] = [await count(200), await count(2_000)];
  const times: number[] = [];
  for (let turn = 0; turn < 200; turn += 1) {
    const startedAt = performance.now();
    await server.client.query('select 1');
    times.push(performance.now() - startedAt);
  }
  return { trips: (many.asked - few.asked) / (many.chunks - few.chunks), tripMs: quantile(times, 0.5) };
}

/** Cores that others use, from now until what is returned is called. */
function foreignCores(): (server: BenchServer) => Promise<number> {
  const busy = (): number =>
    os.cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys, 0);
  const [startedAt, before] = [performance.now(), busy()];
  const self = process.cpuUsage();
  return async (server) => {
    const { programs, server: sessions } = await cpuOf(server.client);
    const { user, system } = process.cpuUsage(self);
    // Before, no program has run and only the tables were made, whose session has not ended.
    const own = programs + sessions + (user + system) / 1_000;
    return Math.max(0, (busy() - before - own) / (performance.now() - startedAt));
  };
}

/**
 * At most how long a chunk has the ledger to itself: what it does there that meets other chunks at all, which is to
 * write to its range and to lock the row of its run, as one transaction after another on the server. Their locks let
 * each other pass; what does not are the pages and counters behind them, which are held for a part of it.
 */
async function measureLedger(server: BenchServer): Promise<number> {
  const turns = 2_000;
  const loop = `do $$ begin
    for turn in 1..${turns} loop
      update umzug_cluster.ranges set touched_at = clock_timestamp()
      where (run_id, no) = (select run_id, no from umzug_cluster.ranges order by run_id desc, no limit 1);
      perform from umzug_cluster.runs where id = (select max(id) from umzug_cluster.runs) for share;
      commit;
    end loop;
  end $$`;
  const times: number[] = [];
  // The disk is waited for by all of them together.
  await server.client.query('set synchronous_commit to off');
  for (let round = 0; round < 5; round += 1) {
    const startedAt = performance.now();
    await server.client.query(loop);
    times.push((performance.now() - startedAt) / turns);
  }
  await server.client.query('reset synchronous_commit');
  // What else this machine does only makes it slower.
  return Math.min(...times);
}

interface Check {
  readonly lanes: number;
  readonly waitMs: number;
  /** Chunks per second. */
  readonly measured: number;
  /** Share of the lanes' time in which they wait for a lock. */
  readonly locked: number;
}

async function checkRates(server: BenchServer, say: (line: string) => void): Promise<Check[]> {
  const checks: Check[] = [];
  for (const waitMs of waitsMs) {
    for (const lanes of workers) {
      const check = { lanes, waitMs, ...(await measuredRate(server, lanes, waitMs)) };
      say(JSON.stringify(check));
      checks.push(check);
    }
  }
  return checks;
}

/** The rate of so many processes of one lane each, from when all of them work; the run is stopped then. */
async function measuredRate(
  server: BenchServer,
  lanes: number,
  waitMs: number,
): Promise<Pick<Check, 'measured' | 'locked'>> {
  const cwd = await freshProject(server, change('properties', waitMs));
  const up = spawn(process.execPath, [...upArgs(lanes, small)], {
    cwd,
    env: { ...process.env, ...environment(server.url) },
    stdio: 'ignore',
  });
  const ended = once(up, 'close');
  try {
    await until('all processes work', async () => {
      refuseEnded(up);
      const sql = `select count(distinct worker)::int as n from umzug_cluster.ranges where chunks > 0`;
      const there = await server.client.query(`select to_regclass('umzug_cluster.ranges') is not null as it`);
      return there.rows[0]?.it === true && (await server.client.query(sql)).rows[0]?.n >= lanes;
    });
    const before = await chunksDone(server);
    const startedAt = performance.now();
    const locked = await lockedShare(server, lanes);
    const chunks = (await chunksDone(server)) - before;
    refuseEnded(up);
    return { measured: (chunks * 1_000) / (performance.now() - startedAt), locked };
  } finally {
    up.kill('SIGTERM');
    await ended;
  }
}

function refuseEnded({ exitCode }: ChildProcess): void {
  if (exitCode !== null) throw new Error(`the run ended with ${exitCode} before it was measured`);
}

async function chunksDone(server: BenchServer): Promise<number> {
  const { rows } = await server.client.query('select sum(chunks)::int as n from umzug_cluster.ranges');
  return Number(rows[0]?.n);
}

const sampleMs = 25;

/** Looks at what the sessions of a run wait for, for a while: the share of all lanes' time that went to locks. */
async function lockedShare(server: BenchServer, lanes: number): Promise<number> {
  let [looks, waits] = [0, 0];
  const until = performance.now() + measuredMs;
  while (performance.now() < until) {
    const { rows } = await server.client.query<{ n: number }>(
      `select count(*)::int as n from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
         and state = 'active' and wait_event_type in ('Lock', 'LWLock')`,
    );
    looks += 1;
    waits += rows[0]?.n ?? 0;
    await sleep(sampleMs);
  }
  return waits / looks / lanes;
}

async function freshProject(server: BenchServer, migration: string): Promise<string> {
  await server.client.query('drop schema if exists umzug_cluster cascade');
  await server.client.query('vacuum analyze properties');
  return await makeBenchProject({ 'change.ts': migration });
}

const upArgs = (count: number, chunkSize: number): readonly string[] =>
  [productCli].concat(`up --full-speed --workers ${count} --chunk-size ${chunkSize} --grace 2s`.split(' '));

const environment = (url: string): Readonly<Record<string, string>> => ({
  DATABASE_URL: url,
  CI: '1',
  UMZUG_CLUSTER_LANES: '1',
});

function costTable({ perChunk, perRow }: Costs, { trips, tripMs }: Found): string {
  const us = (value: number): string => (value * 1_000).toFixed(1);
  const whole = chunkOf({ perChunk, perRow }, large);
  const rows = (['clientMs', 'serverMs', 'waitMs', 'ledgerMs'] as const).map((part) => [
    { clientMs: 'CPU of the client', serverMs: 'CPU of the server', waitMs: 'waiting', ledgerMs: 'alone' }[
      part
    ],
    perChunk[part].toFixed(3),
    part === 'ledgerMs' ? '' : us(perRow[part]),
    whole[part].toFixed(2),
  ]);
  const head = ['cost', 'ms a chunk', 'µs a row', `ms of a chunk of ${ms(large)} rows`];
  const wal = `WAL: ${ms(perChunk.walBytes)} bytes a chunk, ${ms(perRow.walBytes)} a row.`;
  const note = `${wal} A chunk takes ${trips.toFixed(1)} round trips, the author's statement included; one takes ${tripMs.toFixed(2)} ms here.`;
  return `### Costs, row by row\n\n${markdown([head, ...rows])}\n\n${note}`;
}

function rateTable(checks: readonly Check[], costs: Costs): string {
  const cores = os.availableParallelism();
  const lines = checks.map(({ lanes, waitMs, measured }) => {
    const chunk = chunkOf(costs, small);
    const machines: Machines = {
      clientCores: cores,
      serverCores: cores,
      isShared: true,
      walMbPerSecond: Infinity,
      lanes,
    };
    const { chunksPerSecond, limit } = predict({ ...chunk, waitMs: chunk.waitMs + waitMs }, machines);
    const part = (measured / chunksPerSecond).toFixed(2);
    return [String(lanes), String(waitMs), ms(measured), ms(chunksPerSecond), part, limit];
  });
  const head = [
    'workers',
    'author waits, ms',
    'measured chunks/s',
    'predicted',
    'measured ÷ predicted',
    'limit',
  ];
  return `### Measured and predicted, ${small} rows a chunk, ${cores} cores for client and server\n\n${markdown([head, ...lines])}`;
}

const outlookRows = 1e9;
const networkMs = 0.5;
// A provisioned disk of the larger kind.
const walMbPerSecond = 500;
const target = { targetMs: 500, mostRows: 20_000 };

/** 1,000,000,000 rows on 10 hosts of 16 cores, two lanes a process, against servers of several sizes. */
function outlook(costs: Costs, { trips, tripMs }: Found): string {
  const far = Math.max(0, networkMs - tripMs) * trips;
  const there = { ...costs, perChunk: { ...costs.perChunk, waitMs: costs.perChunk.waitMs + far } };
  const lines = [8, 16, 32, 64, 128].map((serverCores) => {
    const machines: Machines = { clientCores: 160, serverCores, isShared: false, walMbPerSecond, lanes: 320 };
    const rows = rowsAtTarget(there, machines, target);
    const { chunksPerSecond, limit } = predict(chunkOf(there, rows), machines);
    const perSecond = chunksPerSecond * rows;
    return [
      String(serverCores),
      ms(rows),
      ms(chunksPerSecond),
      ms(perSecond),
      (outlookRows / perSecond / 3_600).toFixed(1),
      limit,
      `${((chunksPerSecond * there.perChunk.ledgerMs) / 10).toFixed(1)} %`,
      ms(ledgerLimitRows(there, machines, target.mostRows)),
    ];
  });
  const head =
    'cores of the server,rows a chunk,chunks/s,rows/s,hours,limit,ledger busy,ledger limits below so many rows a chunk'.split(
      ',',
    );
  return `### 1,000,000,000 rows, 10 hosts × 16 cores, 320 lanes, ${networkMs} ms a round trip, ${walMbPerSecond} MB/s of WAL, chunks of ${target.targetMs} ms\n\n${markdown([head, ...lines])}`;
}
