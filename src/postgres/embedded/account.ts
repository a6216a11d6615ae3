import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fail } from '../../errors.ts';

/** The operating system account that the server runs as; null: our own. */
export type Account = { readonly name: string; readonly uid: number; readonly gid: number } | null;

/** What a program of the server sees; our own PGPORT, PGDATA or PGOPTIONS must not steer it. */
const cleanEnvironment = { LC_ALL: 'C', PATH: '/usr/local/bin:/usr/bin:/bin' };

/**
 * The account for the server. Postgres refuses to run as root, so root uses `postgres`, else `nobody`.
 * Throws CONFIG where root finds neither.
 */
export function serverAccount(passwd = '/etc/passwd'): Account {
  if (process.getuid?.() !== 0) return null;
  const entries = readFileSync(passwd, 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  for (const name of ['postgres', 'nobody']) {
    const entry = entries.find((fields) => fields[0] === name);
    if (entry !== undefined) return { name, uid: Number(entry[2]), gid: Number(entry[3]) };
  }
  throw fail('CONFIG', {
    message: 'cannot start the embedded Postgres as root',
    detail: `Postgres refuses to run as root, and ${passwd} has neither "postgres" nor "nobody".`,
    hint: 'Run as an ordinary user, or set DATABASE_URL.',
  });
}

/**
 * Options for a child process that acts as the account. The folder is `/` because ours may be closed to it;
 * it gets a session of its own, so that Ctrl-C in the terminal does not reach the server.
 */
export function spawnOptionsOf(account: Account) {
  const identity = account === null ? {} : { uid: account.uid, gid: account.gid };
  return { ...identity, cwd: '/', env: cleanEnvironment, detached: true };
}

/** Whether the account can get into a folder: every folder above must be open to it as well. */
export function canEnter(account: Account, folder: string): boolean {
  if (account === null) return true;
  try {
    // asks the kernel as that account: mode bits alone know nothing of ACLs and mounts
    execFileSync('/bin/sh', ['-c', 'test -x "$1"', 'sh', folder], {
      ...spawnOptionsOf(account),
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  }
}
