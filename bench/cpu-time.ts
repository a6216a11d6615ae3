import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { until } from '../test/support/cli.ts';

// What /proc counts in: a hundredth of a second on every Linux.
const msPerTick = 10;

/**
 * The CPU time, in milliseconds, of all programs that this process has run and of all sessions of the server that
 * have ended. Waits until no other session is left.
 */
export async function cpuMs(client: pg.Client): Promise<number> {
  const { programs, server } = await cpuOf(client);
  return programs + server;
}

/** The same, each for itself. */
export async function cpuOf(
  client: pg.Client,
): Promise<{ readonly programs: number; readonly server: number }> {
  await until('the other sessions have ended', async () => {
    const others = `select from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()`;
    return (await client.query(others)).rowCount === 0;
  });
  const { rows } = await client.query<{ file: string }>(`select pg_read_file('postmaster.pid') as file`);
  const [postmaster = ''] = rows[0]?.file.split('\n') ?? [];
  return { programs: endedChildren('self'), server: endedChildren(postmaster) };
}

/** Of the children of a process that have ended, and theirs. */
function endedChildren(pid: string): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // Behind the name, which may hold anything, the first field is the third of the table in proc(5).
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [user, system] = [fields[16 - 3], fields[17 - 3]];
  return ((user ?? 0) + (system ?? 0)) * msPerTick;
}
