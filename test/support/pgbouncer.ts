import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, copyFile, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { serverAccount, spawnOptionsOf } from '../../src/postgres/embedded/account.ts';
import { freePort } from '../../src/postgres/embedded/cluster.ts';

/** A PgBouncer before the shared server, or another. */
export interface PgBouncer {
  readonly port: number;
  /** Connection string of a database, through the pooler. */
  url(database: string): string;
  /** Runs a statement such as `show pools` on its console. */
  admin(sql: string): Promise<Rows>;
  /** Hands one session of its console to `work`; a suspended pooler lets nobody else in. */
  withConsole<T>(work: (admin: (sql: string) => Promise<Rows>) => Promise<T>): Promise<T>;
  /** What it has written to its log. */
  log(): string;
  /** Ends it with SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again on the same port after `kill`. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

type Rows = readonly Record<string, unknown>[];
type Program = readonly string[];

interface PgBouncerOptions {
  /** Connection string of the server, by whose user and password clients log in too. */
  readonly url: string;
  readonly poolMode?: 'transaction' | 'session';
  readonly poolSize?: number;
  /** Further lines of its section of settings. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

const cache = path.resolve(import.meta.dirname, '../../.cache/pgbouncer');
const packages = ['pgbouncer', 'libc-ares2', 'libevent-2.1-7'];

/** Sessions of the server that the pooler shares out in one database. */
const defaultPoolSize = 20;

const mostStarts = 5;

/** Why a test that needs a PgBouncer is skipped. */
export const noPgBouncer = 'no PgBouncer is installed, and this system has no apt-get to fetch it with';

/**
 * Starts a PgBouncer before the server of `url`. Null where none is installed and the system is none that it could
 * be fetched for; where it could be and that fails, so does the test, and on CI everywhere.
 */
export async function startPgBouncer(options: PgBouncerOptions): Promise<PgBouncer | null> {
  const program = await findProgram();
  if (program === null) return null;
  for (let start = 1; ; start += 1) {
    try {
      return await startOn(await freePort(null), program, options);
    } catch (error) {
      // A client of whoever else is at work here may have been given the port meanwhile.
      if (start === mostStarts || !/in use/.test(String(error))) throw error;
    }
  }
}

async function startOn(port: number, program: Program, options: PgBouncerOptions): Promise<PgBouncer> {
  const upstream = new URL(options.url);
  const account = serverAccount();
  const folder = await mkdtemp(path.join(os.tmpdir(), 'umzug-cluster-pgbouncer-'));
  try {
    // the project may be closed to the account, so what it runs and reads is copied
    for (const file of program) await copyFile(file, path.join(folder, path.basename(file)));
    const user = decodeURIComponent(upstream.username);
    const password = decodeURIComponent(upstream.password);
    await writeFile(path.join(folder, 'users'), `"${user}" "${password}"\n`);
    await writeFile(path.join(folder, 'ini'), configuration(upstream, folder, port, user, options));
    if (account !== null) {
      for (const file of await readdir(folder))
        await chown(path.join(folder, file), account.uid, account.gid);
      await chown(folder, account.uid, account.gid);
    }
    let log = '';
    const noteLog = (text: string): void => void (log += text);
    // Started again where it dies by itself, as whoever supervises it would: 1.18 crashes of a KILL now and then.
    const start = (): Promise<Launched> => launch(folder, account, { note: noteLog, died: revive });
    const revive = (): void => void start().then((again) => (running = again), noteLog);
    let running = await start();
    const url = (database: string) => {
      const through = new URL(options.url);
      through.hostname = '127.0.0.1';
      through.port = String(port);
      through.pathname = `/${database}`;
      return through.href;
    };
    const withConsole: PgBouncer['withConsole'] = (work) =>
      onConsole(url('pgbouncer'), work).catch((error: unknown) => {
        throw new Error(`PgBouncer's console: ${String(error)}\n${log}`, { cause: error });
      });
    return {
      port,
      url,
      withConsole,
      admin: (sql) => withConsole((admin) => admin(sql)),
      log: () => log,
      kill: () => running.end('SIGKILL'),
      async restart() {
        running = await start();
      },
      async stop() {
        // SIGTERM: at once, unlike SIGINT, which waits for clients
        await running.end('SIGTERM');
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

function configuration(
  upstream: URL,
  folder: string,
  port: number,
  user: string,
  options: PgBouncerOptions,
): string {
  return [
    '[databases]',
    `* = host=${upstream.hostname} port=${upstream.port || '5432'}`,
    '[pgbouncer]',
    `listen_addr = 127.0.0.1`,
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = scram-sha-256',
    `auth_file = ${path.join(folder, 'users')}`,
    `admin_users = ${user}`,
    `pool_mode = ${options.poolMode ?? 'transaction'}`,
    `default_pool_size = ${options.poolSize ?? defaultPoolSize}`,
    'max_client_conn = 500',
    ...Object.entries(options.settings ?? {}).map(([name, value]) => `${name} = ${value}`),
    '',
  ].join('\n');
}

/** A pooler that runs. */
interface Launched {
  end(signal: NodeJS.Signals): Promise<void>;
}

/** Starts the program and waits for the line that says it is up; `died`: it has ended unasked after that. */
async function launch(
  folder: string,
  account: ReturnType<typeof serverAccount>,
  { note, died }: { readonly note: (log: string) => void; readonly died: () => void },
): Promise<Launched> {
  const base = spawnOptionsOf(account);
  const child = spawn(path.join(folder, 'pgbouncer'), [path.join(folder, 'ini')], {
    ...base,
    env: { ...base.env, LD_LIBRARY_PATH: folder },
    detached: false,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  let isAsked = false;
  await new Promise<void>((resolve, reject) => {
    let log = '';
    child.stderr.on('data', (text: Buffer) => {
      log += text.toString();
      note(text.toString());
      if (log.includes('process up')) resolve();
    });
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`pgbouncer exited with ${code}:\n${log}`)));
  });
  child.once('close', () => {
    if (!isAsked) died();
  });
  return {
    async end(signal) {
      isAsked = true;
      process.off('exit', kill);
      child.kill(signal);
      await ended;
    },
  };
}

async function onConsole<T>(
  connectionString: string,
  work: (admin: (sql: string) => Promise<Rows>) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return await work(async (sql) => (await client.query<Record<string, unknown>>(sql)).rows);
  } finally {
    await client.end();
  }
}

/** The files to run: the system's program, or the fetched one with its libraries. */
async function findProgram(): Promise<Program | null> {
  const folders = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/sbin'];
  const installed = folders.map((folder) => path.join(folder, 'pgbouncer')).find((file) => existsSync(file));
  if (installed !== undefined) return [installed];
  if (!existsSync(cache)) {
    const mayFetch = folders.some((folder) => existsSync(path.join(folder, 'apt-get')));
    if (!mayFetch && (process.env.CI ?? '') === '') return null;
    await fetchPackages().catch((error: unknown) => {
      const hint = 'install it, for the tests that go through it';
      throw new Error(`PgBouncer is not installed, and could not be fetched: ${hint}`, { cause: error });
    });
  }
  const files = await readdir(cache, { recursive: true, withFileTypes: true });
  return files
    .filter((file) => file.name === 'pgbouncer' || /\.so\.[0-9]+$/.test(file.name))
    .filter((file) => !file.isDirectory())
    .map((file) => path.join(file.parentPath, file.name))
    .filter((file) => file.endsWith('sbin/pgbouncer') || !file.endsWith('pgbouncer'));
}

/** Fetches the Debian packages and unpacks them into the cache; nothing is installed. */
async function fetchPackages(): Promise<void> {
  await mkdir(path.dirname(cache), { recursive: true });
  const work = await mkdtemp(`${cache}-`);
  try {
    await chmod(work, 0o755);
    const run = (program: string, args: readonly string[]) =>
      execFileSync(program, args, { cwd: work, stdio: 'ignore' });
    try {
      run('apt-get', ['download', ...packages]);
    } catch (error) {
      if (process.getuid?.() !== 0) throw error;
      run('apt-get', ['update']);
      run('apt-get', ['download', ...packages]);
    }
    for (const file of await readdir(work)) {
      if (file.endsWith('.deb')) run('dpkg', ['-x', file, path.join(work, 'root')]);
    }
    // another process may have been faster with the same files
    await rename(path.join(work, 'root'), cache).catch(() => undefined);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
