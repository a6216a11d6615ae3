import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { expect, it } from 'vitest';
import { type Running, killGroup, rowsDone, run, start, until } from '../support/cli.ts';
import { waitingSessions } from '../support/audit.ts';
import { withDatabase } from '../support/database.ts';
import { noPgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import {
  counterRows,
  countersOf,
  createCounters,
  hurry,
  makeProject,
  rowsMigration,
  setMigration,
} from '../support/project.ts';

const args = ['up', '--workers', '2', '--chunk-size', '200'];
const allOnce = { n: [1], writes: counterRows, ids: counterRows };

// FAULTS_LONG=1: from the beginning on also by rows, as the runs below are that hosts join later, and beside writes of
// the application to a table alone, too.
const isLong = process.env['FAULTS_LONG'] === '1';

async function counts(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query(
    `select (select array_agg(distinct n) from counters) as n,
            (select count(*)::int from writes) as writes,
            (select count(distinct id)::int from writes) as ids`,
  );
  return rows[0];
}

/** The processes that hold a range of the run at this moment, by their host and id. */
async function holders(client: pg.Client): Promise<readonly string[]> {
  const { rows } = await client.query<{ worker: string }>(
    'select worker from umzug_cluster.ranges where worker is not null',
  );
  return rows.map(({ worker }) => worker.replace(/\/\w+:\d+$/, ''));
}

const styles = [
  ['sets', setMigration(0.05)],
  ['rows', rowsMigration(0.05)],
] as const;

it.each(isLong ? styles : styles.slice(0, 1))(
  'shares a run between two hosts that begin at once, by %s',
  async (_style, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      // each host has its own copy of the files
      const hosts = [1, 2].map(() => start(args, { cwd: makeProject({ 'a.ts': source }).dir, url }));
      const outcomes = await Promise.all(hosts.map(({ outcome }) => outcome));
      for (const { code, stderr } of outcomes) expect(code, stderr).toBe(0);
      expect(await counts(client)).toEqual(allOnce);
      const { rows } = await client.query('select name from umzug_cluster.migrations');
      expect(rows).toEqual([{ name: 'a' }]);
    });
  },
);

it('shares a run between hosts whose clocks are a day apart, of which one is killed', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const aDay = 86_400_000;
    const { dir: cwd } = makeProject({ 'a.ts': rowsMigration(0.3) });
    const host = (aheadMs: number): Running => {
      const clock = path.join(cwd, `clock${aheadMs}.cjs`);
      writeFileSync(clock, `const { now } = Date; Date.now = () => now() + ${aheadMs};`);
      const env = { NODE_OPTIONS: `--require ${clock}` };
      return start(args, { cwd, url, env });
    };
    const killed = host(-aDay);
    await until('the first host works', async () => (await rowsDone(client)) > 0);
    const hosts = [host(aDay), host(0)];
    const before = await rowsDone(client);
    await until('the others work', async () => (await rowsDone(client)) > before);
    killGroup(killed.pid);
    hurry(cwd);
    for (const { outcome } of hosts) {
      const { code, stderr } = await outcome;
      expect(code, stderr).toBe(0);
    }
    expect(await counts(client)).toEqual(allOnce);
  });
});

it('lets hosts join a run that is under way and leave it, and the others end with the same totals', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const place = { cwd: makeProject({ 'a.ts': rowsMigration(1) }).dir, url };
    const join = () => start(['up', '--workers', '1', '--chunk-size', '100'], place);
    const first = join();
    await until('the first host works', async () => (await rowsDone(client)) > 0);
    const second = join();
    const seen = new Set<string>();
    await until('both hold ranges', async () => {
      for (const holder of await holders(client)) seen.add(holder.split(':').at(-1) ?? '');
      return [first, second].every(({ pid }) => seen.has(String(pid)));
    });
    const third = join();
    await third.says(/INFO a \d+% /);
    third.child.kill('SIGINT');
    const { code: stopped, stderr: left } = await third.outcome;
    expect(stopped, left).toBe(130);
    expect(left).toMatch(/^this host has left a at \d+%, no work lost; 2 other hosts continue$/m);
    expect(left).toMatch(new RegExp(`seen within the last 5 s: .*:${first.pid}\\b`));
    expect(left).toMatch(/hint: stop it on all hosts: umzug-cluster pause a;/);
    hurry(place.cwd);
    const totals = new Set<string | undefined>();
    for (const { outcome } of [first, second]) {
      const { code, stdout, stderr } = await outcome;
      expect(code, stderr).toBe(0);
      totals.add(/^a: 20,000 rows in \d+ chunks/.exec(stdout)?.[0]);
    }
    expect([...totals]).toEqual([expect.any(String)]);
    expect(await counts(client)).toEqual(allOnce);
  });
});

const selects = [
  [
    'a join',
    `db('counters as c').join('groups as g', 'g.id', 'c.n').select('c.id', 'c.n', 'c.hits', 'g.name')`,
  ],
  ['a table', `db('counters').select('id', 'n', 'hits')`],
] as const;
// of few rows the application hits as many that a chunk has in hand, with fewer writes
const writtenRows = isLong ? counterRows : 5_000;

it.each(isLong ? selects : selects.slice(0, 1))(
  'loses no write of the application while rows of %s are read, computed in Node and written back',
  async (_of, select) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${countersOf(writtenRows)} create table groups (id int primary key, name text);
      insert into groups select i, 'group ' || i from generate_series(0, 1) as i`);
      const source = `
      import { updateRows } from 'umzug-cluster';
      export const select = (db) => ${select};
      export const update = async (db, rows) => {
        await db.raw('select pg_sleep(0.02)');
        const changed = rows.map(({ id, n, hits }) => ({ id, n: n + 1, hits: hits }));
        await updateRows(db, 'counters', changed, { key: ['id'], set: ['n', 'hits'] });
      };`;
      const application = new pg.Client({ connectionString: url });
      await application.connect();
      const running = start(['up', '--workers', '2', '--chunk-size', '50'], {
        cwd: makeProject({ 'a.ts': source }).dir,
        url,
      });
      let over = false;
      const ended = running.outcome.finally(() => (over = true));
      let sent = 0;
      while (!over) {
        // all over the table, so that many of them hit a chunk in flight
        const ids = Array.from({ length: 20 }, () => 1 + Math.floor(Math.random() * writtenRows));
        for (const id of ids)
          await application.query('update counters set hits = hits + 1 where id = $1', [id]);
        sent += ids.length;
        await sleep(0);
      }
      await application.end();
      const { code, stderr } = await ended;
      expect(code, stderr).toBe(0);
      expect(sent).toBeGreaterThan(0);
      const { rows } = await client.query('select sum(hits)::int as hits from counters');
      expect(rows).toEqual([{ hits: sent }]);
      expect(await counts(client)).toEqual({ n: [1], writes: writtenRows, ids: writtenRows });
    });
  },
);

it('says for whom it waits while another host runs a schema migration, and then goes on', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`${createCounters} create table gate (); create table entered ()`);
    const source = `
      export const up = async (db) => {
        await db.raw('alter table counters add column extra int');
        await db.raw('lock table gate in share mode');
      };`;
    const place = { cwd: makeProject({ 'a.ts': source, 'b.ts': rowsMigration() }).dir, url };
    const env = { UMZUG_CLUSTER_LOCK_TIMEOUT_MS: '60000', UMZUG_CLUSTER_CEILING_MS: '1000' };
    await client.query('begin; lock table gate in access exclusive mode');
    const first = start(['up'], { ...place, env });
    const holder = await until('the first host runs the migration', async () => {
      const { rows } = await client.query<{ pid: number }>(
        `select pid from pg_locks where relation = 'gate'::regclass and not granted`,
      );
      return rows[0]?.pid;
    });
    const second = start(['up'], { ...place, env });
    await second.says(new RegExp(`a: waiting for .*pid ${holder}\\b.*127\\.0\\.0\\.1`));
    await client.query('commit');
    const totals = new Set<string | undefined>();
    for (const { outcome } of [first, second]) {
      const { code, stdout, stderr } = await outcome;
      expect(code, stderr).toBe(0);
      totals.add(/^b: 20,000 rows in \d+ chunks/m.exec(stdout)?.[0]);
    }
    expect([...totals], 'whichever of them has done it').toEqual([expect.any(String)]);
    expect(await counts(client)).toEqual(allOnce);
  });
});

it('stops at once on SIGINT while it waits for another host', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`${createCounters} create table gate ()`);
    const source = `export const up = (db) => db.raw('lock table gate in share mode');`;
    const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
    const env = { UMZUG_CLUSTER_LOCK_TIMEOUT_MS: '60000' };
    await client.query('begin; lock table gate in access exclusive mode');
    const first = start(['up'], { ...place, env });
    await until('the first host runs the migration', async () => {
      const sql = `select from pg_locks where relation = 'gate'::regclass and not granted`;
      return (await client.query(sql)).rowCount;
    });
    const second = start(['up'], { ...place, env });
    await second.says(/waiting for/);
    second.child.kill('SIGINT');
    expect((await second.outcome).code).toBe(130);
    await client.query('commit');
    expect((await first.outcome).code).toBe(0);
  });
});

it('runs behind a PgBouncer in transaction mode', async ({ skip }) => {
  await withDatabase(async ({ url, name, client }) => {
    const pooler = await startPgBouncer({ url, poolMode: 'transaction', poolSize: 6 });
    if (pooler === null) return skip(noPgBouncer);
    try {
      await client.query(createCounters);
      const place = { cwd: makeProject({ 'a.ts': rowsMigration() }).dir, url: pooler.url(name) };
      const { code, stderr } = await run(args, place);
      expect(code, stderr).toBe(0);
      expect(await counts(client)).toEqual(allOnce);
      expect(await run(['down', '--chunk-size', '200'], place)).toMatchObject({ code: 0 });
      expect(await counts(client)).toMatchObject({ n: [0] });
    } finally {
      await pooler.stop();
    }
  });
});

it('tells two processes apart that have the same host name and pid, as in containers', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    await client.query('select pg_advisory_lock(1)');
    const gated = rowsMigration().replace(
      'async (db, rows) => {',
      `async (db, rows) => { await db.raw('select pg_advisory_xact_lock_shared(1)');`,
    );
    const { dir } = makeProject({ 'a.ts': gated });
    const asContainer = `import os from 'node:os'; os.hostname = () => 'box'; Object.defineProperty(process, 'pid', { value: 1 })`;
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(asContainer)}` };
    const place = { cwd: dir, url, env };
    // of one lane each, and both find a range: 8 are laid out for each core
    const both = [1, 2].map(() => start(['up', '--workers', '1', '--chunk-size', '100'], place));
    await until('a chunk of each waits', async () => (await waitingSessions(client)) >= 2);
    const seen = await until('status shows both', async () => {
      const { stdout } = await run(['status', 'a', '--json'], { cwd: dir, url });
      const { migrations } = JSON.parse(stdout) as { migrations: { hosts: readonly object[] }[] };
      return migrations[0]?.hosts.length === 2 ? migrations[0].hosts : null;
    });
    expect(seen).toEqual([1, 2].map(() => ({ host: 'box', pid: 1, workers: 1 })));
    await client.query('select pg_advisory_unlock(1)');
    for (const { code, stderr } of await Promise.all(both.map(({ outcome }) => outcome))) {
      expect(code, stderr).toBe(0);
    }
    expect(await counts(client)).toEqual(allOnce);
  });
});
