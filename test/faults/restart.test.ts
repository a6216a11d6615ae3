import { readFileSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import { expect, it } from 'vitest';
import { startEmbedded } from '../../src/postgres/embedded/index.ts';
import { rowsDone, start, until } from '../support/cli.ts';
import { counterRows, createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';
import { startTestServer } from '../support/server.ts';

const restarts = process.env['FAULTS_LONG'] === '1' ? 5 : 2;
const timeout = 180_000;

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

it(
  `finishes unattended though the server crashes ${restarts} times`,
  async () => {
    // what is committed must outlive the crash
    const settings = { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on' };
    const server = await startTestServer({ settings });
    try {
      let client = await connect(server.url);
      await client.query(createCounters);
      const { dir } = makeProject({ 'a.ts': rowsMigration(0.3) });
      const up = start(['up', '--workers', '2', '--chunk-size', '50'], { cwd: dir, url: server.url });
      for (let crash = 0; crash < restarts; crash += 1) {
        const before = await rowsDone(client);
        await until('rows are migrated', async () => (await rowsDone(client)) > before);
        expect(await rowsDone(client), 'there is work left').toBeLessThan(counterRows);
        const { dataDir } = await startEmbedded(server.projectDir);
        const [postmaster] = readFileSync(path.join(dataDir, 'postmaster.pid'), 'utf8').split('\n');
        // as `pg_ctl stop -m immediate`: no checkpoint, no goodbye
        process.kill(Number(postmaster), 'SIGQUIT');
        await client.end();
        await until('the server is gone', () => !isAlive(Number(postmaster)));
        await startEmbedded(server.projectDir, { settings });
        client = await connect(server.url);
      }
      hurry(dir);
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      const { rows } = await client.query(
        `select (select array_agg(distinct n) from counters) as n,
                (select count(*)::int from writes) as writes,
                (select count(distinct id)::int from writes) as ids`,
      );
      expect(rows).toEqual([{ n: [1], writes: counterRows, ids: counterRows }]);
      await client.end();
    } finally {
      await server.remove();
    }
  },
  timeout,
);

function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
