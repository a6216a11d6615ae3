import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readlinkSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { temporaryFolder } from '../../test/support/server.ts';
import { runProgram } from '../compare.ts';
import { type BenchServer, startBenchServer } from '../server.ts';

// A network disk answers in a few hundred microseconds to a millisecond.
const readUs = 100;

/**
 * A server whose every read of a page lasts 100 µs longer, with next to no cache of its own: the table does not
 * fit. Reads happen in the backends, so that it is they who wait.
 */
export async function startSlowServer(): Promise<BenchServer> {
  const library = path.join(await temporaryFolder(os.tmpdir()), 'slow-reads.so');
  const source = path.join(import.meta.dirname, 'slow-reads.c');
  await runProgram('cc', ['-shared', '-fPIC', '-O2', '-o', library, source, '-ldl']);
  const settings = { shared_buffers: '2MB', io_method: 'sync', max_connections: '50' };
  return await startBenchServer(settings, (url) => restart(url, library));
}

/** Starts the server again as it was started, with `library` preloaded. */
async function restart(url: string, library: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  const folder = String((await client.query('show data_directory')).rows[0]?.data_directory);
  await client.end();
  const pid = Number(readFileSync(path.join(folder, 'postmaster.pid'), 'utf8').split('\n')[0]);
  const program = readlinkSync(`/proc/${pid}/exe`);
  const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(1, -1);
  const { uid, gid } = statSync(`/proc/${pid}`);
  process.kill(pid, 'SIGINT');
  await until(() => !isThere(pid));
  const env = { LC_ALL: 'C', PATH: process.env['PATH'], LD_PRELOAD: library, SLOW_READ_US: String(readUs) };
  const server = spawn(program, args, { cwd: '/', uid, gid, env, detached: true, stdio: 'ignore' });
  await once(server, 'spawn');
  server.unref();
  await until(() => canConnect(url));
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpAt = Date.now() + 30_000;
  while (!(await isSo())) {
    if (Date.now() > giveUpAt) throw new Error('the slow server does not start');
    await sleep(50);
  }
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function canConnect(url: string): Promise<boolean> {
  const client = new pg.Client(url);
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}
