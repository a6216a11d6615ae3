import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, open, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { fail } from '../../errors.ts';
import { spawnOptionsOf } from './account.ts';
import type { Account } from './account.ts';
import { programIn } from './binaries.ts';
import type { Binaries } from './binaries.ts';
import type { Home } from './home.ts';

/** Superuser of every embedded server. */
export const superuser = 'postgres';

/** The server's address: the loopback only, whatever the settings of the caller. */
export const loopback = '127.0.0.1';

/** initdb takes one to two seconds; what it left behind and is older than this was interrupted. */
const interruptedMs = 600_000;

/** pg_ctl stops waiting after this; the server may still be recovering, and its state tells. */
const startSeconds = 60;

/** Enough of the log to hold the reason of a failed start. */
const logTailLines = 12;

/** A server's folder, the programs that run it, and who they run as. */
export interface Installation {
  readonly home: Home;
  readonly binaries: Binaries;
  readonly account: Account;
}

export type Settings = Readonly<Record<string, string>>;

/** Makes the data folder, unless it is there or another command is faster. */
export async function createData(
  { home, binaries, account }: Installation,
  password: string,
  settings: Settings,
): Promise<void> {
  await removeInterrupted(home);
  const work = path.join(home.folder, `init-${randomBytes(6).toString('hex')}`);
  const passwordFile = path.join(work, 'password');
  const data = path.join(work, 'data');
  try {
    await mkdir(work, { mode: 0o711 });
    await mkdir(data, { mode: 0o700 });
    await writeFile(passwordFile, password, { mode: 0o600 });
    if (account !== null) {
      // The folder itself stays ours: the account could put a link where its data is to be.
      await chmod(work, 0o711);
      await chown(passwordFile, account.uid, account.gid);
      await chown(data, account.uid, account.gid);
    }
    await runInitdb({ data, passwordFile }, binaries, account, settings);
    await rename(data, home.dataDir).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function removeInterrupted(home: Home): Promise<void> {
  const left = (await readdir(home.folder)).filter((name) => name.startsWith('init-'));
  for (const folder of left.map((name) => path.join(home.folder, name))) {
    const found = await stat(folder).catch(() => null);
    if (found !== null && Date.now() - found.mtimeMs > interruptedMs) {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

async function runInitdb(
  { data, passwordFile }: { readonly data: string; readonly passwordFile: string },
  binaries: Binaries,
  account: Account,
  settings: Settings,
): Promise<void> {
  const args = ['-D', data, '-U', superuser, '-A', 'scram-sha-256', '--pwfile', passwordFile, '-E', 'UTF8'];
  // the same order of text and the same upper case on every machine, whatever locales it has
  args.push('--locale=C');
  if (binaries.major >= 17) args.push('--locale-provider=builtin', '--builtin-locale=C.UTF-8');
  if (settings.fsync === 'off') args.push('--no-sync');
  const child = spawn(programIn(binaries.folder, 'initdb'), args, {
    ...spawnOptionsOf(account),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (text: Buffer) => (output += text.toString()));
  child.stderr.on('data', (text: Buffer) => (output += text.toString()));
  const code = await exitOf(child);
  if (code === 0) return;
  throw fail('CONFIG', {
    message: 'cannot create the data of the embedded Postgres',
    detail: `initdb exited with ${code}: ${lastLines(output)}`,
    hint: 'Fix the cause above, or set DATABASE_URL.',
  });
}

/**
 * Starts the server and waits until it takes connections. `started`: this call has done it. `failed`: it has
 * not, which another command's start can be the reason of; `output` is what the log says.
 */
export async function launch(
  { home, binaries, account }: Installation,
  port: number,
  settings: Settings,
): Promise<{ outcome: 'started' } | { outcome: 'failed'; output: string }> {
  const all = {
    max_connections: '100',
    listen_addresses: loopback,
    ...settings,
    port: String(port),
    unix_socket_directories: '',
  };
  const options = Object.entries(all).map(([name, value]) => `-c ${quoted(name, value)}`);
  const log = await open(home.log, 'a');
  try {
    const offset = (await log.stat()).size;
    const args = ['start', '-w', '-t', String(startSeconds), '-D', home.dataDir, '-l', home.log];
    const child = spawn(programIn(binaries.folder, 'pg_ctl'), [...args, '-o', options.join(' ')], {
      ...spawnOptionsOf(account),
      // no pipe: the server would inherit it, and a closed one kills what writes to it
      stdio: ['ignore', log.fd, log.fd],
    });
    if ((await exitOf(child)) === 0) return { outcome: 'started' };
    const written = await readFile(home.log);
    return { outcome: 'failed', output: lastLines(written.subarray(offset).toString()) };
  } finally {
    await log.close();
  }
}

/** pg_ctl hands the options to a shell. */
function quoted(name: string, value: string): string {
  if (!/^[a-z_][a-z0-9_.]*$/i.test(name)) {
    throw fail('CONFIG', { message: `"${name}" is not the name of a Postgres setting` });
  }
  if (process.platform === 'win32') return `"${name}=${value.replaceAll('"', '\\"')}"`;
  return `'${name}=${value.replaceAll("'", String.raw`'\''`)}'`;
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-logTailLines).join('\n');
}

function exitOf(child: ReturnType<typeof spawn>): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
}

/** `wanted` if nobody listens on it, else a free port. Somebody may take it before the server does. */
export async function freePort(wanted: number | null): Promise<number> {
  if (wanted === null) return listenOnce(0);
  return listenOnce(wanted).catch(() => listenOnce(0));
}

function listenOnce(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, loopback, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : port));
    });
  });
}
