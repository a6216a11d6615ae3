import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFileSync, readdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { onTestFinished } from 'vitest';
import { needsProcess, runInProcess, sourcesIn, withEnvironment } from './in-process.ts';

// Started as the shell finds it, so that messages call it by its name.
const bin = path.resolve(import.meta.dirname, '../../node_modules/.bin');
const cli = path.join(bin, 'umzug-cluster');
try {
  symlinkSync('../../dist/cli.js', cli);
} catch (error) {
  if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
}

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that runs in a process group of its own. */
export interface Running {
  readonly child: ChildProcess;
  /** Id of the primary and of its process group. */
  readonly pid: number;
  readonly outcome: Promise<Outcome>;
  /** Resolves when stderr matches; rejects when the command ends without having said so. */
  says(pattern: RegExp): Promise<void>;
}

export interface Place {
  readonly cwd: string;
  /** DATABASE_URL; null: not set. */
  readonly url: string | null;
  readonly env?: NodeJS.ProcessEnv;
  /** Who runs it; null: the one who runs the tests. */
  readonly user?: { readonly uid: number; readonly gid: number } | null;
  /** The command by which `start` runs it, such as one that enters a network of its own. */
  readonly within?: readonly string[];
  /** Another build of the command line than this one. */
  readonly build?: string;
}

/** Starts the built command line; what is left of its group is killed when the test ends. */
export function start(args: readonly string[], place: Place): Running {
  const { cwd, url, env, user, within = [], build = cli } = place;
  const [program = '', ...rest] = [...within, process.execPath, build, ...unasked(args)];
  const child = spawn(program, rest, {
    cwd,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...user,
    env: {
      PATH: `${bin}${path.delimiter}${process.env['PATH']}`,
      XDG_CACHE_HOME: process.env['XDG_CACHE_HOME'],
      ...(url === null ? {} : { DATABASE_URL: url }),
      ...env,
    },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => (stdout += String(data)));
  child.stderr.on('data', (data) => (stderr += String(data)));
  const pid = child.pid ?? 0;
  if (pid === 0) throw new Error('the command line did not start');
  onTestFinished(() => killGroup(pid));
  const outcome = new Promise<Outcome>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  const says = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (pattern.test(stderr)) resolve();
      };
      child.stderr.on('data', look);
      child.on('close', () => reject(new Error(`never said ${String(pattern)}: ${stderr}`)));
      look();
    });
  return { child, pid, outcome, says };
}

/** Arguments with which no question is asked. Nobody is there to answer: a test of the question itself has a terminal, or `runInProcess`. */
export function unasked(args: readonly string[]): readonly string[] {
  return args[0] === 'down' && !args.includes('--yes') ? [...args, '--yes'] : args;
}

// A process works on one command at a time, as in a deployment: what runs beside it has a process of its own.
let isBusy = false;

/**
 * Runs the built command line to its end: in the test's own process, which has it loaded, unless it has to be one of
 * its own. `start` always makes one.
 */
export async function run(args: readonly string[], place: Place): Promise<Outcome> {
  if (isBusy || hasToBeAProcess(args, place)) return await start(args, place).outcome;
  const { cwd, url, env } = place;
  isBusy = true;
  try {
    const all = { ...(url === null ? {} : { DATABASE_URL: url }), ...env };
    return await withEnvironment(all, () => runInProcess(unasked(args), cwd, all));
  } finally {
    isBusy = false;
  }
}

function hasToBeAProcess(
  args: readonly string[],
  { cwd, env = {}, user = null, within, build }: Place,
): boolean {
  // `plan` takes connections that its process has beside its own for those of author code.
  if (
    user !== null ||
    within !== undefined ||
    build !== undefined ||
    args.some((arg) => /^(?:--)?plan$/.test(arg)) ||
    args.includes('--watch')
  )
    return true;
  return needsProcess(env, sourcesIn(cwd));
}

/** Sends SIGKILL to a whole process group. */
export function killGroup(pgid: number): void {
  kill(-pgid);
}

/** Sends SIGKILL to a process, or with a negative id to a group; one that is gone is no error. */
export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** The living processes of a group, without its zombies. */
export function groupMembers(pgid: number): readonly number[] {
  return processes()
    .filter((one) => one.pgid === pgid)
    .map(({ pid }) => pid);
}

/** The living children of a process. */
export function childrenOf(parent: number): readonly number[] {
  return processes()
    .filter((one) => one.ppid === parent)
    .map(({ pid }) => pid);
}

function processes(): readonly { pid: number; ppid: number; pgid: number }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        // the program's name stands in brackets and may hold anything
        const [state, ppid, pgid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        return state === 'Z' || state === 'X' ? [] : [{ pid: +name, ppid: Number(ppid), pgid: Number(pgid) }];
      } catch {
        return []; // ended meanwhile
      }
    });
}

// Each look is a query or two; a hundred waits at 5 ms take a tenth of a core.
const pollMs = 20;

/** Asks again until `look` answers something truthy; gives up, saying `what`, after 60 s. */
export async function until<T>(what: string, look: () => T | Promise<T>): Promise<NonNullable<T>> {
  const giveUp = Date.now() + 60_000;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (Date.now() > giveUp) throw new Error(`waited in vain until ${what}`);
    await sleep(pollMs);
  }
}

// It is asked again and again: that the ledger is there, once, until it is dropped.
const withLedger = new WeakSet<pg.Client>();

/** Rows that the latest run has committed; 0 before there is one. */
export async function rowsDone(client: pg.Client): Promise<number> {
  if (!withLedger.has(client)) {
    if (!(await hasLedger(client))) return 0;
    withLedger.add(client);
  }
  try {
    const { rows } = await client.query<{ done: number }>(
      `select coalesce(sum(rows), 0)::int as done from umzug_cluster.ranges
       where run_id = (select max(id) from umzug_cluster.runs)`,
    );
    return rows[0]?.done ?? 0;
  } catch (error) {
    if ((error as { readonly code?: string }).code !== '42P01') throw error;
    withLedger.delete(client);
    return 0;
  }
}

async function hasLedger(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ there: boolean }>(
    `select to_regclass('umzug_cluster.ranges') is not null as there`,
  );
  return rows[0]?.there === true;
}
