import { rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fail } from '../../errors.ts';
import { serverAccount } from './account.ts';
import type { Account } from './account.ts';
import { defaultPlaces, findBinaries } from './binaries.ts';
import { createData, freePort, launch, loopback, superuser } from './cluster.ts';
import type { Settings } from './cluster.ts';
import {
  dataMajorOf,
  findHome,
  isOwn,
  lastPortOf,
  openHome,
  passwordOf,
  prepareLog,
  rememberPort,
  stateFolderOf,
} from './home.ts';
import type { Home } from './home.ts';
import { clearReusedPid, inspectPostmaster, settle, stopPostmaster } from './postmaster.ts';

/** A Postgres server of the project's own, for development and tests. It outlives the command. */
export interface EmbeddedServer {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly dataDir: string;
  /** Major version, as in `18`. */
  readonly version: string;
}

/** Starts in a row: each failure but a taken port or a race ends it earlier. */
const mostStarts = 5;

/** After a crash the server's children need a moment to go and leave the data folder to the next. */
const retryMs = 200;

/** Crash recovery of a development database is done long before. */
const settleMs = 120_000;

/** A checkpoint of a development database is done long before; then it is stopped as by a crash. */
const stopPatienceMs = 30_000;

/**
 * Starts the project's server in `<projectDir>/.postgres`, or finds it running (`started: false`; `settings`
 * then have no effect). Any number of commands may do so at once. Throws CONFIG where it cannot.
 */
export async function startEmbedded(
  projectDir: string,
  options: { readonly settings?: Settings } = {},
): Promise<EmbeddedServer & { readonly started: boolean }> {
  const running = await findHome(projectDir);
  if (running !== null && inspectPostmaster(running).state === 'ready') {
    return { ...(await describe(running)), started: false };
  }
  const account = serverAccount();
  const home = await openHome(projectDir, account);
  const started = await ensureRunning(projectDir, home, account, options.settings ?? {});
  return { ...(await describe(home)), started };
}

async function ensureRunning(
  projectDir: string,
  home: Home,
  account: Account,
  settings: Settings,
): Promise<boolean> {
  const password = await passwordOf(home);
  const places = await defaultPlaces(projectDir);
  const copyTo = path.join(home.folder, 'native');
  const binaries = await findBinaries(places, account, copyTo, await dataMajorOf(home));
  const installation = { home, binaries, account };
  if ((await dataMajorOf(home)) === null) await createData(installation, password, settings);
  await prepareLog(home, account);

  let output = '';
  for (let start = 0; start < mostStarts; start++) {
    const now = await settle(home, performance.now() + settleMs);
    if (now.state === 'ready') return false;
    if (now.state === 'changing') break;
    clearReusedPid(home);
    const port = await freePort(await lastPortOf(home));
    const result = await launch(installation, port, settings);
    if (result.outcome === 'started') {
      await rememberPort(home, port);
      return true;
    }
    output = result.output;
    const after = inspectPostmaster(home);
    const retry = after.state === 'ready' || after.state === 'changing' || isRace(output);
    if (!retry) break;
    await sleep(retryMs);
  }
  throw fail('CONFIG', {
    message: 'the embedded Postgres does not start',
    detail: `${output}\nThe whole log is ${home.log}.`.trim(),
    hint: 'Fix the cause above, remove the server and its data with umzug-cluster embedded remove, or set DATABASE_URL.',
  });
}

/** Another program was faster with the port, or another command with the data folder. */
function isRace(output: string): boolean {
  return /Address already in use|could not create any TCP|lock file "postmaster.pid"|still in use/.test(
    output,
  );
}

async function describe(home: Home): Promise<EmbeddedServer> {
  const now = await settle(home, performance.now() + settleMs);
  const major = await dataMajorOf(home);
  if (now.state !== 'ready' || major === null) {
    throw fail('CONFIG', {
      message: 'the embedded Postgres was stopped while it was starting',
      detail: `Its log is ${home.log}.`,
      hint: 'Run the command again.',
    });
  }
  return {
    host: loopback,
    port: now.port,
    user: superuser,
    password: await passwordOf(home),
    database: 'postgres',
    dataDir: home.dataDir,
    version: String(major),
  };
}

/** Stops the project's server and keeps its data; false: it was not running. */
export async function stopEmbedded(projectDir: string): Promise<boolean> {
  const home = await findHome(projectDir);
  return home !== null && (await stopPostmaster(home, stopPatienceMs));
}

/** Stops the project's server and deletes it with all its data; false: there is none. */
export async function removeEmbedded(projectDir: string): Promise<boolean> {
  const home = await findHome(projectDir);
  const state = stateFolderOf(projectDir);
  // What the pointer named may be gone, as from a folder for temporary files.
  if (home === null && !(await isOwn(state))) return false;
  if (home !== null) {
    await stopPostmaster(home, stopPatienceMs);
    // the pointer goes last: a removal that was interrupted can be repeated
    await rm(home.folder, { recursive: true, force: true, maxRetries: 5 });
  }
  await rm(state, { recursive: true, force: true, maxRetries: 5 });
  return true;
}

/** The connection string of a server; its password in it. */
export function embeddedUrl(server: EmbeddedServer): string {
  const login = `${encodeURIComponent(server.user)}:${encodeURIComponent(server.password)}`;
  return `postgres://${login}@${server.host}:${server.port}/${encodeURIComponent(server.database)}`;
}
