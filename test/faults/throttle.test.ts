import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type pg from 'pg';
import { expect, it } from 'vitest';
import { expectEachOnce } from '../support/behind-pgbouncer.ts';
import { childrenOf, rowsDone, run, start, until } from '../support/cli.ts';
import { connect, withDatabase } from '../support/database.ts';
import { counterRows, createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';

/** What a run does when its throttle says something; what it reads is in `test/integration/throttle.test.ts`. */

const timeout = 120_000;

interface Here {
  readonly client: pg.Client;
  readonly place: { readonly cwd: string; readonly url: string };
  readonly file: string;
}

/** A project that a file holds back, whose chunks sleep for so long. */
async function withProject(sleep: number, work: (here: Here) => Promise<void>, more = ''): Promise<void> {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const { dir } = makeProject({ 'a.ts': rowsMigration(sleep) });
    const throttle = `throttle: { file: 'hold', ${more} }`;
    writeFileSync(
      path.join(dir, 'knexfile.mjs'),
      `export default { client: 'pg', migrations: { cluster: { ${throttle} } } };`,
    );
    await work({ client, place: { cwd: dir, url }, file: path.join(dir, 'hold') });
  });
}

it(
  'lets a session through that waits for a lock of its chunks, and no chunk fails for it',
  { timeout },
  async () => {
    await withProject(5, async ({ client, place }) => {
      const ddl = await connect(place.url);
      const up = start(['up', '--workers', '1', '--chunk-size', '100', '--log-level', 'debug'], place);
      const sleeping = `select from pg_stat_activity where query = 'select pg_sleep(5)' and datname = current_database()
        and state = 'active' and query_start < clock_timestamp() - interval '0.2 s'`;
      await until('a chunk is under way', async () => (await client.query(sleeping)).rowCount);
      const altered = ddl.query('alter table counters add column extra int');
      await up.says(/held back: lock waiters 1 > 0 \(pid \d+\)/);
      await altered;
      await ddl.end();
      expect(await rowsDone(client)).toBeLessThan(counterRows);
      hurry(place.cwd);
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      expect(stderr).not.toMatch(/chunk\.retry|lock timeout/);
      await expectEachOnce(client);
    });
  },
);

it(
  'holds the workers of a host too, for which nobody passes for dead, until it is over',
  { timeout },
  async () => {
    await withProject(0.2, async ({ client, place, file }) => {
      const up = start(['up', '--workers', '3', '--chunk-size', '50'], place);
      await until('workers are forked', () => childrenOf(up.pid).length === 2);
      await until('they work', async () => {
        const { rows } = await client.query(
          'select distinct worker from umzug_cluster.ranges where chunks > 0',
        );
        return rows.length > 2;
      });
      writeFileSync(file, 'hold: 3 deploys run');
      await up.says(/held back: file: 3 deploys run/);
      const held = await rowsDone(client);
      // Another reading of the ledger, and its mark: by then a chunk that began in time would be done.
      await until('status says so', async () => {
        const { stdout } = await run(['status', '--json'], place);
        const [status] = (JSON.parse(stdout) as { migrations: { throttled: string | null }[] }).migrations;
        return status?.throttled === 'file: 3 deploys run';
      });
      expect(await rowsDone(client)).toBe(held);
      // The same reason with another number is no news.
      writeFileSync(file, 'hold: 4 deploys run');
      await until('the ledger has it', async () => {
        const { rows } = await client.query<{ throttled: string }>(
          'select throttled from umzug_cluster.hosts',
        );
        return rows[0]?.throttled === 'file: 4 deploys run';
      });
      rmSync(file);
      hurry(place.cwd);
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      expect(stderr.match(/held back: file: 3 deploys run/g)?.length).toBeLessThanOrEqual(2);
      expect(stderr).not.toMatch(/worker \d+ died|chunk\.retry|row\.quarantined/);
      await expectEachOnce(client);
    });
  },
);

it(
  'is stopped at once while it is held back: by a signal, by its time, by pause and cancel',
  { timeout },
  async () => {
    await withProject(0, async ({ client, place, file }) => {
      const args = ['up', '--workers', '2'];
      writeFileSync(file, '');
      const stopped = start(args, place);
      await stopped.says(/held back: file: .*hold exists/);
      process.kill(stopped.pid, 'SIGINT');
      expect((await stopped.outcome).code).toBe(130);
      const timed = await start([...args, '--max-time', '2s'], place).outcome;
      expect(timed.code, timed.stderr).toBe(5);
      for (const verb of ['pause', 'cancel'] as const) {
        const up = start(args, place);
        await up.says(/held back: file: /);
        await run([verb, 'a'], place);
        const { code, stderr } = await up.outcome;
        expect(code, stderr).toBe(5);
        await run(['resume', 'a', '--no-run'], place);
      }
      expect(await rowsDone(client)).toBe(0);
      const { code, stderr } = await run([...args, '--full-speed'], place);
      expect(code, stderr).toBe(0);
      await expectEachOnce(client);
    });
  },
);

it(
  'is stopped where a signal asks for that, or holds for too long, and resumes; set reaches it',
  { timeout },
  async () => {
    await withProject(
      0.2,
      async ({ client, place, file }) => {
        writeFileSync(file, 'abort: the disk is full');
        const args = ['up', '--workers', '1', '--chunk-size', '100'];
        const aborted = await run(args, place);
        expect(aborted.code, aborted.stderr).toBe(5);
        expect(aborted.stderr).toMatch(
          /^a was stopped by its throttle at 0%, no work lost\n\s+file: the disk is full\n\s+hint: resume when that is over: umzug-cluster up; without any limit: umzug-cluster up --full-speed$/m,
        );
        writeFileSync(file, 'hold');
        const held = await run(args, place);
        expect(held.code, held.stderr).toBe(5);
        expect(held.stderr).toMatch(/held back for \d\.\d s: file: asked to hold/);
        const { rows } = await client.query(
          `select event from umzug_cluster.history where event = 'stopped'`,
        );
        expect(rows).toHaveLength(2);
        rmSync(file);
        // An operator's limit counts for hosts that come later, and is off for all of them when it is lifted.
        expect(
          await run(['set', 'a', 'maxHoldMs=off', 'minFreeConnections=0', 'maxArchiveBytes=off'], place),
        ).toMatchObject({
          code: 0,
        });
        await client.query(`select umzug_cluster.set('a', 'maxWalPerSecond', '1')`);
        const slow = start(args, place);
        await slow.says(/held back: WAL \S+ [kM]?B?(bytes)?\/s > 1 bytes\/s/);
        await run(['set', 'a', 'maxWalPerSecond=off'], place);
        hurry(place.cwd);
        const { code, stderr } = await slow.outcome;
        expect(code, stderr).toBe(0);
        await expectEachOnce(client);
      },
      `maxHoldMs: '1500ms'`,
    );
  },
);
