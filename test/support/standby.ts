import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type pg from 'pg';
import { serverAccount, spawnOptionsOf } from '../../src/postgres/embedded/account.ts';
import { startEmbedded } from '../../src/postgres/embedded/index.ts';
import { until } from './cli.ts';
import { connect } from './database.ts';
import type { TestServer } from './server.ts';

/** A standby that replays what the server of a test writes. */
export interface Standby {
  readonly url: string;
  readonly client: pg.Client;
  stop(): Promise<void>;
}

/**
 * Stops a server of a test's own, copies it, and starts both again, the copy as a standby called `name`, which reaches
 * the other one at `through`.
 */
export async function startStandby(
  server: TestServer,
  settings: Readonly<Record<string, string>>,
  name: string,
  through: string = server.url,
): Promise<Standby> {
  const { dataDir } = await startEmbedded(server.projectDir);
  const postmaster = pidOf(dataDir) ?? 0;
  const [program = '', ...args] = readFileSync(`/proc/${postmaster}/cmdline`, 'utf8')
    .split('\0')
    .slice(0, -1);
  process.kill(postmaster, 'SIGINT');
  await until('the server has stopped', () => pidOf(dataDir) === null);
  const copy = path.join(server.projectDir, '.postgres', 'standby');
  // With its owner, who is another than root.
  execFileSync('cp', ['-a', dataDir, copy]);
  await startEmbedded(server.projectDir, { settings });

  const { hostname, port, username, password } = new URL(through);
  // What is asked before the startup message, a proxy that reads messages would take for it.
  const primary = `host=${hostname} port=${port} user=${username} password=${password} sslmode=disable gssencmode=disable application_name=''${name}''`;
  writeFileSync(path.join(copy, 'standby.signal'), '');
  appendFileSync(path.join(copy, 'postgresql.auto.conf'), `primary_conninfo = '${primary}'\n`);
  const own = await freePort();
  const changed = args.map((arg) => {
    if (arg === dataDir) return copy;
    return arg.startsWith('port=') ? `port=${own}` : arg;
  });
  const options = { ...spawnOptionsOf(serverAccount()), stdio: 'ignore' as const };
  spawn(program, changed, options).unref();
  const url = new URL(server.url);
  url.port = String(own);
  const client = await until('the standby lets clients in', () => connect(url.href).catch(() => null));
  return {
    url: url.href,
    client,
    async stop() {
      await client.end();
      const pid = pidOf(copy);
      if (pid !== null) process.kill(pid, 'SIGQUIT');
      await until('the standby has stopped', () => pid === null || !existsSync(`/proc/${pid}`));
      rmSync(copy, { recursive: true, force: true });
    },
  };
}

function pidOf(dataDir: string): number | null {
  const file = path.join(dataDir, 'postmaster.pid');
  return existsSync(file) ? Number(readFileSync(file, 'utf8').split('\n')[0]) : null;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
