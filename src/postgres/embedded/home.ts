import { createHash, randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  readFile,
  realpath,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fail, messageOf } from '../../errors.ts';
import { canEnter } from './account.ts';
import type { Account } from './account.ts';

/** The folder of one embedded server: `data`, `password`, `port`, `log` and, where needed, `native`. */
export interface Home {
  readonly folder: string;
  readonly dataDir: string;
  readonly log: string;
}

const stateFolder = '.postgres';

function homeAt(folder: string): Home {
  return { folder, dataDir: path.join(folder, 'data'), log: path.join(folder, 'log') };
}

/** The folder in the project; it holds the server, or points to where the server is. */
export function stateFolderOf(projectDir: string): string {
  return path.resolve(projectDir, stateFolder);
}

/** The home that `openHome` made, or null where the project has none. */
export async function findHome(projectDir: string): Promise<Home | null> {
  const state = stateFolderOf(projectDir);
  const pointed = await readOptional(path.join(state, 'location'));
  const folder = await realpath(pointed ?? state).catch(() => null);
  if (folder === null) return null;
  if (pointed !== null) await checkPrivate(folder, uidInName(pointed));
  return homeAt(folder);
}

/** The pointer is a file that anybody could have committed: it may name a folder of ours, and no other. */
function uidInName(folder: string): number {
  const uid = /^umzug-cluster-[0-9a-f]{16}-(\d+)$/.exec(path.basename(folder))?.[1];
  if (uid !== undefined) return Number(uid);
  throw fail('CONFIG', {
    message: `refusing to use ${folder} for the embedded Postgres`,
    detail: 'The file .postgres/location names it, but it is not a folder that this tool makes.',
    hint: 'Delete the file.',
  });
}

/**
 * The project's home, made where missing. Where the account cannot get into the project, the home is in a
 * folder for temporary files, and `.postgres/location` says where.
 */
export async function openHome(projectDir: string, account: Account): Promise<Home> {
  const state = stateFolderOf(projectDir);
  try {
    await mkdir(state, { recursive: true, mode: account === null ? 0o700 : 0o755 });
    await writeFile(path.join(state, '.gitignore'), '*\n');
  } catch (error) {
    throw fail('CONFIG', {
      message: 'cannot make a folder for the embedded Postgres',
      detail: messageOf(error),
      hint: 'set DATABASE_URL, or run it where this user may write',
      cause: error,
    });
  }
  const known = await findHome(projectDir);
  if (known !== null && canEnter(account, known.folder)) return known;
  if (account === null) return homeAt(await realpath(state));
  const folder = await relocate(await realpath(state), account);
  await replaceFile(path.join(state, 'location'), folder);
  return homeAt(folder);
}

async function relocate(state: string, account: NonNullable<Account>): Promise<string> {
  // the name depends on the project alone, so that the data is found again when the pointer was deleted
  const hash = createHash('sha256').update(state).digest('hex').slice(0, 16);
  for (const parent of new Set([os.tmpdir(), '/tmp', '/var/tmp'])) {
    if (!canEnter(account, parent)) continue;
    const folder = path.join(await realpath(parent), `umzug-cluster-${hash}-${account.uid}`);
    await takeFolder(folder, account);
    return folder;
  }
  throw fail('CONFIG', {
    message: 'cannot find a folder for the embedded Postgres',
    detail: `As root it runs as "${account.name}", which can enter neither ${state} nor ${os.tmpdir()}.`,
    hint: 'Set TMPDIR to a folder that every user can enter, or set DATABASE_URL.',
  });
}

/** Makes a folder for the account alone; refuses one that somebody else put there first. */
export async function takeFolder(folder: string, account: NonNullable<Account>): Promise<void> {
  await mkdir(folder, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await checkPrivate(folder, account.uid);
  await chown(folder, account.uid, account.gid);
}

async function checkPrivate(folder: string, uid: number): Promise<void> {
  // lstat: a symbolic link to a folder of ours would be somebody else's trap
  const found = await lstat(folder);
  // our own: another command has made it and is about to hand it over
  const owned = found.uid === uid || found.uid === process.getuid?.();
  if (found.isDirectory() && owned && (found.mode & 0o077) === 0) return;
  throw fail('CONFIG', {
    message: `refusing to use ${folder} for the embedded Postgres`,
    detail: `It is not a private folder of user ${uid}: owner ${found.uid}, mode ${(found.mode & 0o777).toString(8)}.`,
    hint: 'Find out who made it and remove it, or set DATABASE_URL.',
  });
}

/**
 * The password of the home's server, made where missing. It is there before the data is, so that of two
 * commands that start at once both use the same.
 */
export async function passwordOf(home: Home): Promise<string> {
  const file = path.join(home.folder, 'password');
  const known = await readOptional(file);
  if (known !== null) return known;
  if ((await lstat(home.dataDir).catch(() => null)) !== null) {
    throw fail('CONFIG', {
      message: 'the password of the embedded Postgres is missing',
      detail: `${home.dataDir} exists, but ${file} does not.`,
      hint: 'Remove the embedded server and its data with "make clean".',
    });
  }
  const temporary = `${file}-${randomBytes(6).toString('hex')}`;
  await writeFile(temporary, randomBytes(24).toString('base64url'), { mode: 0o600, flag: 'wx' });
  // unlike rename, link does not replace: the first command decides
  await link(temporary, file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await rm(temporary);
  return readFile(file, 'utf8');
}

/** The port that the server had last, or null. */
export async function lastPortOf(home: Home): Promise<number | null> {
  const port = Number(await readOptional(path.join(home.folder, 'port')));
  return Number.isInteger(port) && port > 0 && port < 65_536 ? port : null;
}

/** Keeps the port for the next start, so that a URL that somebody copied goes on working. */
export async function rememberPort(home: Home, port: number): Promise<void> {
  await replaceFile(path.join(home.folder, 'port'), String(port));
}

/** Major version of the data, or null where there is none. */
export async function dataMajorOf(home: Home): Promise<number | null> {
  const text = await readOptional(path.join(home.dataDir, 'PG_VERSION'));
  return text === null ? null : Number.parseInt(text, 10);
}

/** The log, open to the account for appending. */
export async function prepareLog(home: Home, account: Account): Promise<void> {
  await writeFile(home.log, '', { flag: 'a', mode: 0o600 });
  await chmod(home.log, 0o600);
  if (account !== null) await chown(home.log, account.uid, account.gid);
}

async function readOptional(file: string): Promise<string | null> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function replaceFile(file: string, text: string): Promise<void> {
  const temporary = `${file}-${randomBytes(6).toString('hex')}`;
  await writeFile(temporary, text);
  await rename(temporary, file);
}
