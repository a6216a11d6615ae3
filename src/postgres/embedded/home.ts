import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import {
  chmod,
  link,
  lstat,
  mkdir,
  open,
  readFile,
  readdir,
  realpath,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { UmzugClusterError, fail, messageOf } from '../../errors.ts';
import { canEnter } from './account.ts';
import type { Account } from './account.ts';

/** The folder of one embedded server: `data`, `password`, `port`, `log`, its mark and, where needed, `native`. */
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

// Is in every folder that this tool has made: without it nothing is used, and nothing deleted.
const mark = 'umzug-cluster';
const markText =
  'The embedded Postgres of umzug-cluster: "umzug-cluster embedded remove" removes it and this folder.\n';

/** The home that `openHome` made, or null where the project has none. Throws CONFIG where it is not its own. */
export async function findHome(projectDir: string): Promise<Home | null> {
  const state = stateFolderOf(projectDir);
  if (!(await isOwn(state))) return null;
  const pointed = await readOptional(path.join(state, 'location'));
  if (pointed === null) return homeAt(await realpath(state));
  // The pointer is a file that anybody could have committed: it may name the folder of this project, and no other.
  if (!path.basename(pointed).startsWith(`${await nameOf(state)}-`)) {
    throw fail('CONFIG', {
      message: `refusing to use ${pointed} for the embedded Postgres`,
      detail:
        'The file .postgres/location names it, but umzug-cluster did not make that folder for this project.',
      hint: 'Delete the file.',
    });
  }
  return (await isOwn(pointed)) ? homeAt(await realpath(pointed)) : null;
}

/**
 * The project's home, made where missing. Where the account cannot get into the project, the home is in a
 * folder for temporary files, and `.postgres/location` says where.
 */
export async function openHome(projectDir: string, account: Account): Promise<Home> {
  const state = stateFolderOf(projectDir);
  try {
    await takeFolder(state, account);
    await writeFile(path.join(state, '.gitignore'), '*\n');
  } catch (error) {
    if (error instanceof UmzugClusterError) throw error;
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
  const folder = await relocate(state, account);
  await replaceFile(path.join(state, 'location'), folder);
  return homeAt(folder);
}

/** The name depends on the project alone, so that the data is found again when the pointer was deleted. */
async function nameOf(state: string): Promise<string> {
  const hash = createHash('sha256').update(await realpath(state));
  return `umzug-cluster-${hash.digest('hex').slice(0, 16)}`;
}

async function relocate(state: string, account: NonNullable<Account>): Promise<string> {
  for (const parent of new Set([os.tmpdir(), '/tmp', '/var/tmp'])) {
    if (!canEnter(account, parent)) continue;
    const folder = path.join(await realpath(parent), `${await nameOf(state)}-${account.uid}`);
    await takeFolder(folder, account);
    return folder;
  }
  throw fail('CONFIG', {
    message: 'cannot find a folder for the embedded Postgres',
    detail: `As root it runs as "${account.name}", which can enter neither ${state} nor ${os.tmpdir()}.`,
    hint: 'Set TMPDIR to a folder that every user can enter, or set DATABASE_URL.',
  });
}

/**
 * Makes a folder for a server; refuses one that somebody else put there first. It stays our own: in a folder of the
 * account's, whoever runs as that account could put links where we write.
 */
async function takeFolder(folder: string, account: Account): Promise<void> {
  try {
    await mkdir(folder, { mode: 0o700 });
    // The account must get through to its data, and needs to see nothing else.
    if (account !== null) await chmod(folder, 0o711);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  if (!(await isOwn(folder))) await writeFile(path.join(folder, mark), markText);
}

/** Whether this tool has made the folder; false where it is empty or missing. Throws CONFIG where it is another's. */
export async function isOwn(folder: string): Promise<boolean> {
  // lstat: a link to a folder of ours would be somebody else's trap
  const found = await lstat(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (found === null) return false;
  const uid = process.getuid?.() ?? found.uid;
  const isPrivate = found.uid === uid && (process.platform === 'win32' || (found.mode & 0o022) === 0);
  const names = found.isDirectory() && isPrivate ? await readdir(folder) : [];
  if (found.isDirectory() && isPrivate && (names.length === 0 || names.includes(mark)))
    return names.length > 0;
  const what = !found.isDirectory()
    ? 'It is a link or a file, not a folder.'
    : isPrivate
      ? 'umzug-cluster did not make it: it has no file "umzug-cluster".'
      : `Others may write to it: owner ${found.uid}, mode ${(found.mode & 0o777).toString(8)}.`;
  throw fail('CONFIG', {
    message: `refusing to use ${folder} for the embedded Postgres`,
    detail: what,
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
      hint: 'Remove the embedded server and its data with umzug-cluster embedded remove.',
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

/** Keeps the port for the next start, so that a URL that somebody copied keeps working. */
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
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
  const log = await open(home.log, O_APPEND | O_CREAT | O_NOFOLLOW | O_WRONLY, 0o600);
  await log.chmod(0o600);
  if (account !== null) await log.chown(account.uid, account.gid);
  await log.close();
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
