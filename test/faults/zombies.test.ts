import { expect, it } from 'vitest';
import type pg from 'pg';
import { childrenOf, groupMembers, rowsDone, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { counterRows, createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';

const args = ['up', '--workers', '2', '--chunk-size', '100'];
const timeout = 120_000;

async function expectEachOnce(client: pg.Client): Promise<void> {
  const { rows } = await client.query(
    `select (select array_agg(distinct n) from counters) as n,
            (select count(*)::int from writes) as writes,
            (select count(distinct id)::int from writes) as ids`,
  );
  expect(rows).toEqual([{ n: [1], writes: counterRows, ids: counterRows }]);
}

it(
  'goes on without a worker that was stopped in its chunk, and does not wait for it',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const env = { UMZUG_CLUSTER_IDLE_TIMEOUT_MS: '500' };
      const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.3) }).dir, url, env };
      const up = start(args, place);
      const worker = await until('there is a worker', () => childrenOf(up.pid)[0]);
      await until('the worker holds a range', async () => {
        if ((await rowsDone(client)) === 0) return false;
        const sql = `select from umzug_cluster.ranges where worker like '%:${worker}/%' and chunks > 1`;
        return (await client.query(sql)).rowCount;
      });
      process.kill(worker, 'SIGSTOP');
      hurry(place.cwd);
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      expect(stderr).toMatch(new RegExp(`worker ${worker} stopped responding and was killed`));
      await until('nothing is left behind', () => groupMembers(up.pid).length === 0);
      await expectEachOnce(client);
    });
  },
  timeout,
);

it(
  'lets no late write of a stopped host land: the other finishes, and both exit with 0',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const env = { UMZUG_CLUSTER_IDLE_TIMEOUT_MS: '500' };
      const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.3) }).dir, url, env };
      const stopped = start(args, place);
      await until('the first host works', async () => (await rowsDone(client)) > 0);
      process.kill(-stopped.pid, 'SIGSTOP');
      hurry(place.cwd);
      const other = start(args, place);
      const { code, stderr } = await other.outcome;
      expect(code, stderr).toBe(0);
      await expectEachOnce(client);
      process.kill(-stopped.pid, 'SIGCONT');
      expect((await stopped.outcome).code, (await stopped.outcome).stderr).toBe(0);
      await expectEachOnce(client);
    });
  },
  timeout,
);

it(
  'ends the backend of a stopped worker that no timer of the server ends, since it is sending rows',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${createCounters}; create table stopped (pid int)`);
      // Asks for 200 MB, in the first worker process to come here, and stops before it has read them.
      const source = `
        import cluster from 'node:cluster';
        import { existsSync, writeFileSync } from 'node:fs';
        export const select = (db) => db('counters').select('id');
        export const update = async (db, rows) => {
          if (!existsSync('stopped')) await db.raw('select pg_sleep(0.1)');
          if (cluster.isWorker && !existsSync('stopped')) {
            writeFileSync('stopped', '');
            setTimeout(() => process.kill(process.pid, 'SIGSTOP'), 30);
            await db.raw("select repeat('x', 1000000) from generate_series(1, 200)");
          }
          await db('counters').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + 1') });
        };`;
      const env = {
        UMZUG_CLUSTER_CEILING_MS: '1000',
        UMZUG_CLUSTER_IDLE_TIMEOUT_MS: '500',
        UMZUG_CLUSTER_STATEMENT_TIMEOUT_MS: '800',
        UMZUG_CLUSTER_TCP_USER_TIMEOUT_MS: '0',
        UMZUG_CLUSTER_CLIENT_CHECK_MS: '0',
      };
      // so many chunks that a worker has begun long before the last
      const flags = ['up', '--workers', '2', '--chunk-size', '20'];
      const up = start(flags, { cwd: makeProject({ 'a.ts': source }).dir, url, env });
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      expect(stderr).toMatch(/terminated the transaction of pid \d+/);
      await until('nothing is left behind', () => groupMembers(up.pid).length === 0);
      await expectEachOnce(client);
    });
  },
  timeout,
);
