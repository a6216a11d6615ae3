import { execFileSync, spawnSync } from 'node:child_process';
import { chownSync, closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { serverAccount, spawnOptionsOf } from '../../src/postgres/embedded/account.ts';

/** A file system of its own that can be filled. */
export interface SmallDisk {
  /** A folder on it that belongs to the account of the server. */
  readonly folder: string;
  /** Leaves no byte free. */
  fill(): void;
  /** Takes back what `fill` has taken. */
  free(): void;
  unmount(): void;
}

/** Whether this process may mount file systems: root in a container may not always. */
export function mayMount(): boolean {
  if (process.getuid?.() !== 0) return false;
  return spawnSync('unshare', ['-m', 'true'], { stdio: 'ignore' }).status === 0;
}

/** Mounts a file system in memory at a new folder below `parent`. */
export function mountSmallDisk(parent: string, megabytes: number): SmallDisk {
  const mount = path.join(parent, 'small');
  mkdirSync(mount);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=755`, 'tmpfs', mount]);
  const folder = path.join(mount, 'data');
  mkdirSync(folder);
  const account = serverAccount();
  if (account !== null) chownSync(folder, account.uid, account.gid);
  const ballast = path.join(mount, 'ballast');
  return {
    folder,
    fill: () => fillWith(ballast),
    free: () => rmSync(ballast),
    unmount: () => execFileSync('umount', ['-l', mount]),
  };
}

function fillWith(file: string): void {
  const fd = openSync(file, 'a');
  try {
    for (const block = Buffer.alloc(4_096); ;) writeSync(fd, block);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(fd);
  }
}

/** Whether the memory of another process can be limited here. */
export function mayLimitMemory(): boolean {
  return spawnSync('prlimit', ['--version'], { stdio: 'ignore' }).status === 0;
}

/** Limits what a process of the server, and those that it forks from now on, may allocate beyond what it has. */
export function limitMemory(pid: number, moreMegabytes: number | 'unlimited'): void {
  const limit = moreMegabytes === 'unlimited' ? moreMegabytes : addressSpace(pid) + moreMegabytes * 2 ** 20;
  // as its own account: root in a container may not
  execFileSync('prlimit', ['--pid', String(pid), `--as=${limit}:`], {
    ...spawnOptionsOf(serverAccount()),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

function addressSpace(pid: number): number {
  const [, kilobytes] = /^VmSize:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1_024;
}

/** Takes all locks that the lock table of the server has room for, and goes on. Returns how to give them back. */
export async function takeAllLocks(url: string): Promise<() => Promise<void>> {
  const hog = new pg.Client({ connectionString: url });
  hog.on('error', () => undefined);
  await hog.connect();
  let isGoing = true;
  const most = 1_000_000;
  const take = async (first: number): Promise<void> => {
    // those of the session outlive the failed statement
    const taken = hog.query('select pg_advisory_lock(i) from generate_series($1::int, $2::int) as i', [
      first,
      first + most,
    ]);
    await taken.then(
      () => Promise.reject(new Error('there is room for any number of locks')),
      (error: unknown) => {
        if ((error as { code?: string }).code !== '53200') throw error;
      },
    );
  };
  await take(0);
  // What others give back is taken too.
  const going = (async () => {
    for (let round = 1; isGoing; round += 1) {
      await take(round * most);
      await sleep(10);
    }
  })();
  return async () => {
    isGoing = false;
    await going;
    await hog.end();
  };
}

/** Opens connections until the server has none left. Resolves with how to close them. */
export async function takeAllConnections(url: string): Promise<() => Promise<void>> {
  const hogs: pg.Client[] = [];
  for (;;) {
    const hog = new pg.Client({ connectionString: url });
    hog.on('error', () => undefined);
    try {
      await hog.connect();
      hogs.push(hog);
    } catch (error) {
      if ((error as { code?: string }).code !== '53300') throw error;
      return async () => void (await Promise.all(hogs.map((one) => one.end())));
    }
  }
}
