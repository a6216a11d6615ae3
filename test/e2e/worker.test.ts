import type pg from 'pg';
import { expect, it } from 'vitest';
import { run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { createCounters, counterRows, hurry, makeProject, rowsMigration } from '../support/project.ts';
import { startProxy } from '../support/proxy.ts';
import { startReceiver } from '../support/receiver.ts';
import { startWorker } from '../support/worker.ts';

const up = ['up', '--workers', '1', '--chunk-size', '200'];
const few = ['--workers', '1', '--chunk-size', '200'];

async function expectEachOnce(client: pg.Client): Promise<void> {
  const { rows } = await client.query(
    `select (select array_agg(distinct n) from counters) as n, (select count(*)::int from writes) as writes`,
  );
  expect(rows).toEqual([{ n: [1], writes: counterRows }]);
}

/** Waits until each of these processes has committed a chunk of the run. */
async function allWork(client: pg.Client, pids: readonly number[]): Promise<void> {
  await until('every host has committed a chunk', async () => {
    const { rows } = await client.query<{ worker: string }>(
      `select distinct worker from umzug_cluster.ranges where worker is not null and chunks > 0`,
    );
    return pids.every((pid) => rows.some(({ worker }) => worker.includes(`:${pid}/`)));
  });
}

it('begins nothing by itself, joins what an up has started, waits for more, and ends with 0', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.2) }).dir, url };
    const worker = await startWorker(place, ...few);
    await worker.is('waiting');
    expect(await worker.health()).toMatchObject({ live: 200, ready: 200, body: { message: null } });
    const { rows } = await client.query(
      `select count(*)::int as connections, to_regclass('umzug_cluster.runs') as ledger
       from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
    );
    expect(rows, 'an idle worker has one connection').toEqual([{ connections: 1, ledger: null }]);
    const first = start(up, place);
    await worker.is('working');
    await allWork(client, [first.pid, worker.pid]);
    hurry(place.cwd);
    const { code, stderr } = await first.outcome;
    expect(code, stderr).toBe(0);
    await worker.is('waiting');
    await expectEachOnce(client);
    const metrics = await worker.metrics();
    expect(metrics).toMatch(/^umzug_cluster_worker_state\{.*state="waiting"\} 1$/m);
    expect(metrics).toMatch(/^umzug_cluster_rows_done\{.*migration="a"\} 20000$/m);
    worker.child.kill('SIGTERM');
    const ended = await worker.outcome;
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stdout).toMatch(/^a: 20,000 rows in \d+ chunks/m);
  });
});

it('joins a rollback as well, and begins none', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const { dir } = makeProject({ 'a.ts': rowsMigration() });
    expect(await run(up, { cwd: dir, url })).toMatchObject({ code: 0 });
    const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.2) }).dir, url };
    const worker = await startWorker(place, ...few);
    await worker.is('waiting');
    const down = start(['down', ...few], place);
    await worker.is('working');
    hurry(place.cwd);
    expect(await down.outcome).toMatchObject({ code: 0 });
    await worker.is('waiting');
    const { rows } = await client.query('select array_agg(distinct n) as n from counters');
    expect(rows).toEqual([{ n: [0] }]);
  });
});

it('drains on SIGTERM: its chunks finish, it ends with 0, and another host ends the run', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.5) }).dir, url };
    const first = start(up, place);
    const worker = await startWorker(place, ...few);
    await worker.is('working');
    await allWork(client, [worker.pid]);
    worker.child.kill('SIGTERM');
    const { code, stderr } = await worker.outcome;
    expect(code, stderr).toBe(0);
    hurry(place.cwd);
    expect(await first.outcome).toMatchObject({ code: 0 });
    await expectEachOnce(client);
    const { rows } = await client.query('select sum(retries)::int as retries from umzug_cluster.ranges');
    expect(rows, 'no chunk was cut off').toEqual([{ retries: 0 }]);
  });
});

it('drains on SIGTERM also where its connection was lost while it joined', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.2) }).dir, url };
    let isCut = false;
    // what it asks once it has found the run: which migrations are executed
    const proxy = await startProxy(url, ({ body }) => {
      if (isCut || !body.includes('to_json(executed_at)')) return 'pass';
      isCut = true;
      return 'cut-before';
    });
    try {
      const first = start(up, place);
      await first.says(/INFO a \d+% /);
      const worker = await startWorker({ ...place, url: proxy.url(url) }, ...few);
      await allWork(client, [worker.pid]);
      expect(isCut).toBe(true);
      await worker.is('working');
      worker.child.kill('SIGTERM');
      const { code, stderr } = await worker.outcome;
      expect(code, stderr).toBe(0);
      expect(first.child.exitCode, 'the run is not over').toBe(null);
      hurry(place.cwd);
      expect(await first.outcome).toMatchObject({ code: 0 });
      await expectEachOnce(client);
    } finally {
      await proxy.close();
    }
  });
});

it('leaves a paused run alone until it is resumed, and takes over from a host that was killed', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.2) }).dir, url };
    const first = start(up, place);
    await first.says(/INFO a \d+% /);
    expect(await run(['pause', 'a'], place)).toMatchObject({ code: 0 });
    await first.outcome;
    const worker = await startWorker(place, ...few);
    await worker.is('waiting');
    expect(await run(['status', 'a'], place)).toMatchObject({ stdout: expect.stringContaining('paused') });
    const resumed = start(['resume', 'a', ...few], place);
    await worker.is('working');
    resumed.child.kill('SIGKILL');
    await resumed.outcome;
    hurry(place.cwd);
    await worker.is('waiting');
    await expectEachOnce(client);
  });
});

it('refuses a run whose file differs here, says so, and joins the next one', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const own = rowsMigration(0.2);
    const project = makeProject({ 'a.ts': `${own}\n// of another release` });
    const files = makeProject({ 'a.ts': own, 'b.ts': own });
    const receiver = await startReceiver();
    files.write(
      '../knexfile.mjs',
      `export default { migrations: { cluster: { notify: { failed: { url: '${receiver.url}' } } } } };`,
    );
    const worker = await startWorker({ cwd: files.dir, url }, ...few);
    const first = start(up, { cwd: project.dir, url });
    const { message, hint, migration } = await worker.is('refused');
    expect(message).toBe('a was changed while its run is in progress');
    expect(hint).toMatch(/^put the file back/);
    expect(migration).toBe('a');
    expect(await worker.health()).toMatchObject({ live: 200, ready: 503 });
    await worker.says(/WARN not joined: a was changed while its run is in progress/);
    hurry(project.dir);
    expect(await first.outcome).toMatchObject({ code: 0 });
    await expectEachOnce(client);
    await worker.is('waiting');
    const next = makeProject({ 'a.ts': own, 'b.ts': own });
    const second = start(up, { cwd: next.dir, url });
    await worker.is('working');
    hurry(next.dir);
    hurry(files.dir);
    expect(await second.outcome).toMatchObject({ code: 0 });
    worker.child.kill('SIGTERM');
    expect(await worker.outcome).toMatchObject({ code: 0 });
    expect(receiver.received, 'nobody is woken for a host that only helps').toEqual([]);
  });
});

it('waits for a database that does not answer: it is alive, not ready, and says why', async () => {
  await withDatabase(async (db) => {
    let isDown = true;
    const proxy = await startProxy(db.url, () => (isDown ? 'cut-before' : 'pass'));
    try {
      const worker = await startWorker({ cwd: makeProject({}).dir, url: proxy.url(db.url) });
      await worker.is('unavailable');
      isDown = false;
      await worker.is('waiting');
      isDown = true;
      const { message } = await worker.is('unavailable');
      expect(message).toMatch(/127\.0\.0\.1/);
      expect(await worker.health()).toMatchObject({ live: 200, ready: 503 });
      expect(await worker.metrics()).toMatch(/^umzug_cluster_up\{.*\} 0$/m);
      worker.child.kill('SIGTERM');
      const { code, stderr } = await worker.outcome;
      expect(code, stderr).toBe(0);
      expect(stderr).toMatch(/WARN waiting: .*reconnecting to/);
    } finally {
      await proxy.close();
    }
  });
});
