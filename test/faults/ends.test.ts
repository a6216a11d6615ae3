import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { expectEachOnce } from '../support/behind-pgbouncer.ts';
import { childrenOf, groupMembers, rowsDone, run, start, until } from '../support/cli.ts';
import type { Running } from '../support/cli.ts';
import { connect, withDatabase } from '../support/database.ts';
import { createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';

const args = ['up', '--workers', '2', '--chunk-size', '100'];
// FAULTS_LONG=1: each signal in each way.
const isLong = process.env['FAULTS_LONG'] === '1';
const signals = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const;

/** Chunks that never come to an end in a worker, and are slow in the primary, until `hurry`. */
const endless = rowsMigration(0.3).replace(
  'async (db, rows) => {',
  `async (db, rows) => {
    if (cluster.isWorker && !isThere('enough')) await db.raw('select pg_sleep(600)');`,
);
const source = `import cluster from 'node:cluster'; ${endless}`;

async function sleeping(client: pg.Client): Promise<number | null> {
  const sql = `select from pg_stat_activity where datname = current_database() and query like '%pg_sleep(600)%'
               and wait_event = 'PgSleep'`;
  return (await client.query(sql)).rowCount;
}

/** The command has ended with this code, and has left neither a process nor a transaction behind. */
async function expectEnd(client: pg.Client, { pid, outcome }: Running, code: number): Promise<string> {
  const seen = await outcome;
  expect(seen.code, seen.stderr).toBe(code);
  expect(groupMembers(pid)).toEqual([]);
  await until('the server has ended its transactions', async () => {
    const sql = `select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                 and xact_start is not null`;
    return (await client.query(sql)).rowCount === 0;
  });
  return seen.stderr;
}

describe('a signal to a command whose worker has a chunk without end', () => {
  it.each(isLong ? signals : signals.slice(1, 2))(
    '%s ends it with %i when the grace is over; up goes on',
    async (signal, code) => {
      await withDatabase(async ({ url, client }) => {
        await client.query(createCounters);
        const { dir } = makeProject({ 'a.ts': source });
        const up = start([...args, '--grace', '300ms'], { cwd: dir, url });
        await until('a worker is in its chunk', () => sleeping(client));
        process.kill(up.pid, signal);
        const stderr = await expectEnd(client, up, code);
        expect(stderr).toMatch(/stopped.*no work lost[\s\S]*resume: umzug-cluster up/);
        hurry(dir);
        const again = await run(['up', '--workers', '1'], { cwd: dir, url });
        expect(again.code, again.stderr).toBe(0);
        await expectEachOnce(client);
      });
    },
  );

  it.each(isLong ? signals : signals.slice(0, 1))(
    '%s twice ends it at once with %i, whatever the grace',
    async (signal, code) => {
      await withDatabase(async ({ url, client }) => {
        await client.query(createCounters);
        const up = start([...args, '--grace', '1h'], { cwd: makeProject({ 'a.ts': source }).dir, url });
        await until('a worker is in its chunk', () => sleeping(client));
        // to the whole group, as a terminal does it
        process.kill(-up.pid, signal);
        await up.says(/stopping/);
        process.kill(-up.pid, signal);
        await expectEnd(client, up, code);
      });
    },
  );

  it('and then another signal: the code is that of the first', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const up = start([...args, '--grace', '1h'], { cwd: makeProject({ 'a.ts': source }).dir, url });
      await until('a worker is in its chunk', () => sleeping(client));
      process.kill(up.pid, 'SIGTERM');
      await up.says(/stopping/);
      process.kill(up.pid, 'SIGINT');
      await expectEnd(client, up, 143);
    });
  });
});

describe('a signal to a command that', () => {
  it('waits for older transactions ends it at once', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const old = await connect(url);
      await old.query('begin; select pg_current_xact_id()');
      const up = start(['up'], { cwd: makeProject({ 'a.ts': rowsMigration() }).dir, url });
      await up.says(/waiting for transaction/);
      process.kill(up.pid, 'SIGTERM');
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(143);
      expect(await rowsDone(client)).toBe(0);
      await old.end();
    });
  });

  it('runs a schema migration ends it when the grace is over, and nothing of it is left', async () => {
    await withDatabase(async ({ url, client }) => {
      const ddl = `export const up = (db) =>
        db.raw('create table made ()').then(() => db.raw('select pg_sleep(600)'));`;
      const up = start(['up', '--grace', '300ms'], { cwd: makeProject({ 'a.ts': ddl }).dir, url });
      await until('it runs', () => sleeping(client));
      process.kill(up.pid, 'SIGTERM');
      await expectEnd(client, up, 143);
      const { rows } = await client.query(`select to_regclass('made') as made`);
      expect(rows).toEqual([{ made: null }]);
    });
  });
});

describe('stdout and stderr whose reader has gone', () => {
  /** Writes to both in each chunk, past `console`, which swallows errors. */
  const wordy = rowsMigration(0.3).replace(
    'async (db, rows) => {',
    `async (db, rows) => { for (const out of ['stdout', 'stderr']) process[out].write('a word\\n');`,
  );

  it('do not end the run: it comes to its end with exit code 0, and leaves nothing behind', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const { dir } = makeProject({ 'a.ts': wordy });
      const up = start([...args, '--verbose'], { cwd: dir, url });
      await until('a worker has begun', () => childrenOf(up.pid).length > 0);
      await until('rows are migrated', () => rowsDone(client));
      up.child.stdout?.destroy();
      up.child.stderr?.destroy();
      hurry(dir);
      await expectEnd(client, up, 0);
      await expectEachOnce(client);
    });
  });

  it('keep no signal from ending the run, nor its exit code', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const { dir } = makeProject({ 'a.ts': wordy });
      const up = start([...args, '--verbose'], { cwd: dir, url });
      await until('a worker has begun', () => childrenOf(up.pid).length > 0);
      up.child.stdout?.destroy();
      up.child.stderr?.destroy();
      // as a terminal that is closed
      process.kill(-up.pid, 'SIGHUP');
      await expectEnd(client, up, 129);
      hurry(dir);
      const again = await run(['up', '--workers', '1'], { cwd: dir, url });
      expect(again.code, again.stderr).toBe(0);
      await expectEachOnce(client);
    });
  });
});
