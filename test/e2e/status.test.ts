import { expect, it } from 'vitest';
import { type Place, killGroup, rowsDone, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';

const args = ['up', '--workers', '1', '--chunk-size', '100'];

interface Entry {
  readonly name: string;
  readonly state: string;
  readonly rowsPerSecond: number | null;
  readonly hosts: readonly { readonly pid: number; readonly workers: number }[];
  readonly workers: readonly { readonly pid: number }[];
  readonly abandonedSeconds: number | null;
  readonly waiting: string | null;
  readonly throttled: string | null;
}

async function statusOf(place: Place): Promise<Entry> {
  const { stdout } = await run(['status', 'a', '--json'], place);
  const { migrations } = JSON.parse(stdout) as { migrations: Entry[] };
  return migrations[0] ?? Promise.reject(new Error(stdout));
}

it('names the hosts that work, from a host without the file, and says that none does: at once after a clean stop', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.3) }).dir, url };
    const elsewhere = { ...place, cwd: makeProject({}).dir };
    const up = start([...args, '--pace', '5000'], place);
    const seen = await until('the host has told of itself', async () => {
      if ((await rowsDone(client)) === 0) return null;
      const entry = await statusOf(elsewhere);
      return entry.hosts.length > 0 ? entry : null;
    });
    expect(seen).toMatchObject({ state: 'running', abandonedSeconds: null });
    expect(seen.hosts).toMatchObject([{ pid: up.pid, workers: 1 }]);
    // Two lanes, each with one range, whatever they have worked on before.
    expect([1, 2]).toContain(seen.workers.length);
    for (const { pid } of seen.workers) expect(pid).toBe(up.pid);
    expect(seen.throttled).toBe('pace: at most 5,000 rows/s over all hosts');
    up.child.kill('SIGINT');
    expect(await up.outcome).toMatchObject({ code: 130 });
    const interrupted = { state: 'interrupted', hosts: [], workers: [], rowsPerSecond: null };
    expect(await statusOf(elsewhere)).toMatchObject({
      ...interrupted,
      abandonedSeconds: expect.any(Number) as number,
    });
    const { stdout } = await run(['status'], elsewhere);
    expect(stdout).toMatch(/a: no host has worked on it for .*; resume: umzug-cluster up/);
    const before = await rowsDone(client);
    const killed = start([...args, '--pace', '5000'], place);
    await until('it is resumed', async () => (await rowsDone(client)) > before);
    expect(await statusOf(elsewhere)).toMatchObject({ state: 'running' });
    killGroup(killed.pid);
    const left = await until('it is missed', async () => {
      const entry = await statusOf(elsewhere);
      return entry.abandonedSeconds === null ? null : entry;
    });
    expect(left).toMatchObject(interrupted);
    hurry(place.cwd);
    const { code, stdout: done } = await run(['up', '--no-join', '--workers', '1'], place);
    expect({ code, done }).toMatchObject({ code: 0, done: expect.stringMatching(/^a: 20,000 rows/) });
    expect((await client.query('select distinct n from counters')).rows).toEqual([{ n: 1 }]);
  });
});

it('says which transaction a run waits for, which pause ends, and --watch tells every change in a pipe', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const place = { cwd: makeProject({ 'a.ts': rowsMigration() }).dir, url };
    const watch = start(['status', '--watch'], place);
    let watched = '';
    watch.child.stdout?.on('data', (data) => (watched += String(data)));
    await until('it is seen pending', () => /^a: pending$/m.test(watched));
    await client.query('begin; update counters set hits = 1 where id = 1');
    const up = start(args, place);
    const waiting = await until('it waits', async () => (await statusOf(place)).waiting);
    expect(waiting).toMatch(/^transaction of pid \d+, \d+ s old$/);
    await until('the watch says so', () => /^a: running.*waiting: transaction of pid/m.test(watched));
    expect(await run(['pause', 'a'], place)).toMatchObject({ code: 0 });
    expect((await up.outcome).code).toBe(5);
    await client.query('commit');
    await run(['resume', 'a'], place);
    await until('the watch says that it is done', () => /^a: executed, 20,000 rows/m.test(watched));
    watch.child.kill('SIGINT');
    const { code, stderr } = await watch.outcome;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });
});

it('up --wait runs nothing and ends with the work of others; --no-join leaves it to them with 5', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.3) }).dir, url };
    const waiting = start(['up', '--wait'], place);
    await waiting.says(/waiting for another host to start it/);
    expect((await client.query(`select to_regnamespace('umzug_cluster') as it`)).rows).toEqual([
      { it: null },
    ]);
    const up = start(args, place);
    await until('some rows are done', () => rowsDone(client));
    const left = await run(['up', '--no-join'], place);
    expect(left.code, left.stderr).toBe(5);
    expect(left.stderr).toMatch(/a is left to other hosts: another host is working on it\n[^]*up --wait/);
    await waiting.says(/waiting for other hosts to finish it/);
    const { rows } = await client.query(
      'select distinct worker from umzug_cluster.ranges where worker is not null',
    );
    for (const { worker } of rows as { worker: string }[]) expect(worker).toContain(`:${up.pid}/`);
    hurry(place.cwd);
    expect((await up.outcome).code).toBe(0);
    const { code, stdout } = await waiting.outcome;
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'everything is executed\n' });
  });
});

it('up --wait stops at the time that it is given, and where waiting is in vain', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const failing = `export const select = (db) => db('counters').select('id');
      export const update = () => { throw new Error('broken'); };`;
    const place = { cwd: makeProject({ 'a.ts': failing }).dir, url };
    const timed = await run(['up', '--wait', '--max-time', '1s'], place);
    expect(timed.code, timed.stderr).toBe(5);
    await run(args, place);
    const vain = await run(['up', '--wait'], place);
    expect(vain.code, vain.stderr).toBe(1);
    expect(vain.stderr).toMatch(/a: failed on another host/);
    const both = await run(['up', '--wait', '--no-join'], place);
    expect(both.stderr).toMatch(/--wait and --no-join cannot be combined/);
    expect(both.code).toBe(2);
  });
});
