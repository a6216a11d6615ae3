import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Home } from './home.ts';

/**
 * What `postmaster.pid` and the process table say. `stale`: the file is left over from a crash or a reboot;
 * `reused` tells that its pid now belongs to another program.
 */
export type Postmaster =
  | { readonly state: 'absent' }
  | { readonly state: 'stale'; readonly reused: boolean }
  | { readonly state: 'ready'; readonly pid: number; readonly port: number }
  | { readonly state: 'changing'; readonly pid: number };

/** Lines of `postmaster.pid`, counted from 0 (src/include/utils/pidfile.h). */
const pidLine = 0;
const portLine = 3;
const statusLine = 7;

/** How long until the state is looked at again. */
const pollMs = 25;

function pidFileOf(home: Home): string {
  return path.join(home.dataDir, 'postmaster.pid');
}

/** The state of the home's server. */
export function inspectPostmaster(home: Home): Postmaster {
  let lines: string[];
  try {
    lines = readFileSync(pidFileOf(home), 'utf8').split('\n');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return { state: 'absent' };
    throw error;
  }
  const pid = Number(lines[pidLine]);
  const command = commandOf(pid);
  if (command === null) return { state: 'stale', reused: false };
  if (!command.includes(home.dataDir)) return { state: 'stale', reused: true };
  if (lines[statusLine]?.trim() !== 'ready') return { state: 'changing', pid };
  return { state: 'ready', pid, port: Number(lines[portLine]) };
}

/** The command line of a process; null where there is none, or a zombie. */
function commandOf(pid: number): string | null {
  if (!Number.isInteger(pid) || pid <= 0) return null;
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8') || '';
    return execFileSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)], { encoding: 'utf8' });
  } catch {
    return null;
  }
}

/**
 * Removes a stale `postmaster.pid` whose pid is another program's. Postgres itself sees only that the pid is
 * alive and refuses to start; a pid that is dead it handles, in a way that is safe for two starts at once.
 */
export function clearReusedPid(home: Home): void {
  const now = inspectPostmaster(home);
  if (now.state === 'stale' && now.reused) rmSync(pidFileOf(home), { force: true });
}

/** Waits while the server starts up or shuts down, at most until `deadlineMs` (as of `performance.now()`). */
export async function settle(home: Home, deadlineMs: number): Promise<Postmaster> {
  for (;;) {
    const now = inspectPostmaster(home);
    if (now.state !== 'changing' || performance.now() > deadlineMs) return now;
    await sleep(pollMs);
  }
}

/**
 * Stops the server: running transactions are rolled back, sessions closed ("fast"); past `patienceMs` it is
 * stopped as by a crash ("immediate"), from which the next start recovers. Returns whether it was running.
 */
export async function stopPostmaster(home: Home, patienceMs: number): Promise<boolean> {
  const first = inspectPostmaster(home);
  if (first.state === 'absent' || first.state === 'stale') return false;
  const impatientMs = performance.now() + patienceMs;
  let signal: 'SIGINT' | 'SIGQUIT' = 'SIGINT';
  tell(first.pid, signal);
  for (;;) {
    const now = inspectPostmaster(home);
    // another pid: somebody has started it again, which is theirs to stop
    if (now.state === 'absent' || now.state === 'stale' || now.pid !== first.pid) return true;
    if (signal === 'SIGINT' && performance.now() > impatientMs) {
      signal = 'SIGQUIT';
      tell(first.pid, signal);
    }
    await sleep(pollMs);
  }
}

function tell(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
