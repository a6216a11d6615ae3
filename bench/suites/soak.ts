import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import type pg from 'pg';
import { runProgram } from '../compare.ts';
import { type Bench, productCli } from '../context.ts';
import { makeBenchProject } from '../project.ts';
import { markdown } from '../report.ts';
import { type Metric, growthOf, leastSamples } from '../soak.ts';
import { createOriginal, resetTable } from '../table.ts';

const rows = 20_000;
const sampleMs = 500;

const source = `
const change = (n) => (db, rows) =>
  db('properties').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ rooms: db.raw('rooms + ?', [n]) });
export const select = (db) => db('properties').select('id');
export const update = change(1);
export const down = { select, update: change(-1) };`;

const metrics = {
  // Of its own process, between two runs; those that it forks live for one.
  worker: { name: 'memory of the worker', unit: 'MB', mostTimes: 1.1, mostMore: 15 },
  server: { name: 'memory of the largest session', unit: 'MB', mostTimes: 1.15, mostMore: 8 },
  // Of one moment or another of a run.
  connections: { name: 'connections', unit: '', mostTimes: 1, mostMore: 2 },
  ledger: { name: 'rows of the ledger', unit: '', mostTimes: 1.05, mostMore: 5 },
  idle: { name: 'connections between runs', unit: '', mostTimes: 1, mostMore: 0 },
  chunk: { name: 'time of a chunk', unit: 'ms', mostTimes: 1.5, mostMore: 5 },
  look: { name: 'time of a look at the ledger', unit: 'ms', mostTimes: 2, mostMore: 5 },
} satisfies Readonly<Record<string, Metric>>;

type Samples = Record<keyof typeof metrics, number[]>;

/**
 * The same run up and down again and again, with a worker that stays and joins each of them; what is rolled back is
 * pruned. Throws where memory, connections, the ledger or the time of a statement has grown.
 */
export async function soakSuite({ server, minutes, say }: Bench): Promise<string> {
  await createOriginal(server.client, { rows, key: 'bigint', width: 'narrow' });
  await resetTable(server.client);
  const cwd = await makeBenchProject({ 'change.ts': source });
  const env = { DATABASE_URL: server.url, CI: '1' };
  const samples: Samples = {
    worker: [],
    server: [],
    connections: [],
    ledger: [],
    idle: [],
    chunk: [],
    look: [],
  };
  const args = [productCli, 'worker', '--listen', '127.0.0.1:0', ...size];
  const worker = spawn(process.execPath, args, { cwd, env: { ...process.env, ...env }, stdio: 'ignore' });
  const ended = once(worker, 'close');
  const endsAt = performance.now() + minutes * 60_000;
  const peaks = { server: 0, connections: 0 };
  const sampling = setInterval(() => void lookAt(server.client, peaks), sampleMs);
  let cycles = 0;
  try {
    while (performance.now() < endsAt) {
      await cycle(server.client, { cwd, env, samples });
      samples.worker.push(residentMb(worker.pid ?? 0, 'VmRSS'));
      samples.server.push(peaks.server);
      samples.connections.push(peaks.connections);
      Object.assign(peaks, { server: 0, connections: 0 });
      cycles += 1;
      if (worker.exitCode !== null) throw new Error(`the worker ended with ${worker.exitCode}`);
      if (cycles % 10 === 1) say(`${cycles} cycles: ${JSON.stringify(latest(samples))}`);
    }
  } finally {
    clearInterval(sampling);
    worker.kill('SIGTERM');
    await ended;
  }
  if (worker.exitCode !== 0) throw new Error(`the worker ended with ${worker.exitCode}`);
  if (cycles < leastSamples) throw new Error(`${cycles} cycles tell nothing: give it more minutes`);
  return report(samples, cycles, minutes);
}

const size = ['--full-speed', '--workers', '2', '--chunk-size', '500'];

interface Cycle {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly samples: Samples;
}

async function cycle(client: pg.Client, { cwd, env, samples }: Cycle): Promise<void> {
  const run = (...args: readonly string[]): Promise<string> =>
    runProgram(process.execPath, [productCli, ...args], { cwd, env });
  await run('up', ...size);
  samples.chunk.push(await numberOf(client, 'sum(busy_ms) / sum(chunks)', 'umzug_cluster.ranges'));
  await run('down', '--yes', ...size);
  await run('prune', '--older-than', '1ms');
  const startedAt = performance.now();
  await client.query('select * from umzug_cluster.status');
  samples.look.push(performance.now() - startedAt);
  samples.ledger.push(await ledgerRows(client));
  samples.idle.push((await sessionsOf(client)).length);
  // The table is as it was; its dead rows are not what is looked for.
  await client.query('vacuum properties');
}

async function numberOf(client: pg.Client, what: string, table: string): Promise<number> {
  return Number((await client.query(`select ${what} as it from ${table}`)).rows[0]?.it);
}

async function ledgerRows(client: pg.Client): Promise<number> {
  const { rows: tables } = await client.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = 'umzug_cluster'`,
  );
  let kept = 0;
  for (const { name } of tables) kept += await numberOf(client, 'count(*)', name);
  return kept;
}

async function sessionsOf(client: pg.Client): Promise<readonly number[]> {
  const { rows: sessions } = await client.query<{ pid: number }>(
    `select pid from pg_stat_activity
     where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()`,
  );
  return sessions.map(({ pid }) => pid);
}

/** The most that was seen while work was done. */
async function lookAt(client: pg.Client, peaks: { server: number; connections: number }): Promise<void> {
  const sessions = await sessionsOf(client);
  peaks.server = Math.max(peaks.server, ...sessions.map((pid) => residentMb(pid, 'RssAnon')));
  peaks.connections = Math.max(peaks.connections, sessions.length);
}

function latest(samples: Samples): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, values.at(-1) ?? 0]));
}

function report(samples: Samples, cycles: number, minutes: number): string {
  const growths = Object.entries(metrics).map(([name, metric]) =>
    growthOf(metric, samples[name as keyof Samples]),
  );
  const lines = growths.map(({ metric, early, late, hasGrown }) => [
    metric.name,
    `${early.toFixed(1)} ${metric.unit}`,
    `${late.toFixed(1)} ${metric.unit}`,
    hasGrown ? 'GROWN' : 'no',
  ]);
  const table = markdown([['', 'second quarter', 'last quarter', 'grown'], ...lines]);
  const text = `${cycles} runs up and down in ${minutes} minutes, ${rows.toLocaleString('en')} rows each way.\n\n${table}`;
  if (growths.some(({ hasGrown }) => hasGrown)) throw new Error(text);
  return text;
}

function residentMb(pid: number, what: 'VmRSS' | 'RssAnon'): number {
  try {
    const found = new RegExp(`^${what}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return Number(found?.[1] ?? 0) / 1_024;
  } catch {
    return 0;
  }
}
