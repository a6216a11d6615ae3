import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { rowsDone, run, start, until } from '../support/cli.ts';
import { connect, withDatabase } from '../support/database.ts';
import { hurry, makeProject, rowsMigration, setMigration } from '../support/project.ts';

const rows = 1_000;
// Rows of an application, far from each other: each in a chunk of its own, and not among the first of it.
const places = [150, 350, 550, 750, 950];

const table = `
  create table counters (id bigint primary key, n int not null default 0, hits int not null default 0);
  insert into counters (id) select generate_series(1, ${rows});
  analyze counters;`;

function hit(client: pg.Client, id: number): Promise<unknown> {
  return client.query('update counters set hits = hits + 1 where id = $1', [id]);
}

/** Waits until a session waits for a lock of `holder`. */
async function holdsUp(holder: pg.Client): Promise<void> {
  await until('somebody waits for the lock', async () => {
    const sql = 'select from pg_locks where not granted and pg_backend_pid() = any (pg_blocking_pids(pid))';
    return (await holder.query(sql)).rowCount;
  });
}

/** An application that writes a row, and then one with a lower key. */
async function openApplication(url: string, id: number): Promise<{ deadlock(): Promise<void> }> {
  const [application, between] = [await connect(url), await connect(url)];
  // The server ends the transaction of whoever looks for the deadlock: the run's.
  await application.query(`set deadlock_timeout to '1h'`);
  for (const [client, row] of [[between, id - 1] as const, [application, id] as const]) {
    await client.query('begin');
    await hit(client, row);
  }
  return {
    async deadlock() {
      await holdsUp(between);
      // the chunk has this row, and will want the other
      const { rows: own } = await application.query<{ pid: number }>('select pg_backend_pid() as pid');
      const done = hit(application, id - 2);
      await until('the application waits for the chunk', async () => {
        const waiting = await between.query('select from pg_locks where not granted and pid = $1', [
          own[0]?.pid,
        ]);
        return waiting.rowCount;
      });
      await between.query('commit');
      await done;
      await application.query('commit');
      await Promise.all([between.end(), application.end()]);
    },
  };
}

it.each([
  ['rows', rowsMigration()],
  ['sets', setMigration()],
])(
  'tries a chunk again that deadlocks with an application that writes in the opposite order, and counts it: by %s',
  async (_style, source) => {
    await withDatabase(async ({ url, name, client }) => {
      await client.query(`${table} alter database ${name} set deadlock_timeout to '10ms'`);
      // Holds the run up until the application has its rows; whoever comes after it does not.
      await client.query('begin; select pg_current_xact_id()');
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const up = start(['up', '--workers', '1', '--chunk-size', '100'], place);
      await up.says(/waiting for transaction/);
      const applications = await Promise.all(places.map((id) => openApplication(url, id)));
      await client.query('commit');
      await Promise.all(applications.map((one) => one.deadlock()));
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      expect(stderr.match(/deadlock detected/g)?.length).toBeGreaterThanOrEqual(places.length);
      const { rows: counted } = await client.query(
        'select array_agg(distinct n) as n, sum(hits)::int as hits from counters',
      );
      expect(counted).toEqual([{ n: [1], hits: 3 * places.length }]);
      const status = await run(['status', 'a', '--json'], place);
      const [{ retries }] = (JSON.parse(status.stdout) as { migrations: [{ retries: number }] }).migrations;
      expect(retries).toBeGreaterThanOrEqual(places.length);
    });
  },
);

describe('a lock of the application', () => {
  it('on a row is waited for in turns of the lock timeout, which are counted, however long it is held', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      await client.query('begin; select pg_current_xact_id()');
      const place = { cwd: makeProject({ 'a.ts': rowsMigration() }).dir, url };
      const env = { UMZUG_CLUSTER_LOCK_TIMEOUT_MS: '20' };
      const up = start(['up', '--workers', '1', '--chunk-size', '100'], { ...place, env });
      await up.says(/waiting for transaction/);
      const application = await connect(url);
      await application.query('begin');
      await hit(application, 550);
      await client.query('commit');
      await up.says(/(lock timeout[^]*){3}/);
      await application.query('commit');
      await application.end();
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      const { rows: counted } = await client.query(
        'select array_agg(distinct n) as n, sum(hits)::int as hits from counters',
      );
      expect(counted).toEqual([{ n: [1], hits: 1 }]);
    });
  });

  it('on the table, as ALTER TABLE takes it, is granted between two chunks, and the run goes on', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const { dir } = makeProject({ 'a.ts': rowsMigration(0.3) });
      const up = start(['up', '--workers', '1', '--chunk-size', '20'], { cwd: dir, url });
      await until('rows are migrated', () => rowsDone(client));
      await client.query('alter table counters add column later int');
      expect(await rowsDone(client), 'the run had rows left to do').toBeLessThan(rows);
      hurry(dir);
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      expect((await client.query('select distinct n from counters')).rows).toEqual([{ n: 1 }]);
    });
  });
});
