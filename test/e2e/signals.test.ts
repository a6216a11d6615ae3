import { describe, expect, it } from 'vitest';
import { groupMembers, rowsDone, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';
import { visitAll, visits } from '../support/visits.ts';

const table = 'create table t (id bigint primary key, n int not null default 0)';
const slow = `
  export const select = (db) => db('t').select('id');
  export const update = async (db, rows) => {
    await db.raw('select pg_sleep(0.2)');
    await db('t').whereRaw('id = any (?)', [rows.map((row) => row.id)]).update({ n: db.raw('n + 1') });
  };`;
const args = ['up', '--workers', '2', '--chunk-size', '50'];

describe('a signal', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s finishes the running chunks, exits with %i, and up goes on', async (signal, code) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      await client.query('insert into t select generate_series(1, 5000)');
      await client.query('analyze t');
      const { dir } = makeProject({ 'a.ts': slow });
      const up = start([...args, '--json'], { cwd: dir, url });
      await until('some rows are done', () => rowsDone(client));
      // To the whole group, as a terminal does it.
      process.kill(-up.pid, signal);
      const outcome = await up.outcome;
      expect(outcome.code, outcome.stderr).toBe(code);
      expect(JSON.parse(outcome.stdout)).toMatchObject({
        migrations: [{ name: 'a', kind: 'data', rows: { done: await rowsDone(client), quarantined: 0 } }],
        error: { code: expect.any(String) as string },
      });
      expect(outcome.stderr).toMatch(/^stopped.*no work lost\n {2}hint: resume: umzug-cluster up$/m);
      expect(groupMembers(up.pid)).toEqual([]);
      const { rows } = await client.query<{ done: number }>('select sum(n)::int as done from t');
      expect(rows[0]?.done).toBeGreaterThan(0);
      expect(rows[0]?.done).toBeLessThan(5000);
      expect(await run(['up', '--workers', '1'], { cwd: dir, url })).toMatchObject({ code: 0 });
      expect((await client.query('select distinct n from t')).rows).toEqual([{ n: 1 }]);
    });
  });

  it('in the middle of a rollback names down, which goes on, not up, which is refused', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      await client.query('insert into t select generate_series(1, 5000)');
      const { dir } = makeProject({ 'a.ts': `${slow} export const down = { select, update };` });
      expect(await run(['up', '--workers', '2'], { cwd: dir, url })).toMatchObject({ code: 0 });
      const down = start(['down', '--chunk-size', '50'], { cwd: dir, url });
      await until('some rows are taken back', async () => {
        return (await client.query('select from t where n = 2 limit 1')).rowCount;
      });
      process.kill(down.pid, 'SIGTERM');
      const { code, stderr } = await down.outcome;
      expect(code, stderr).toBe(143);
      expect(stderr).toMatch(/hint: resume: umzug-cluster down --name a; umzug-cluster up is refused/);
      expect(await run(['up'], { cwd: dir, url })).toMatchObject({ code: 3 });
      expect(await run(['down', '--name', 'a'], { cwd: dir, url })).toMatchObject({ code: 0 });
      expect((await client.query('select distinct n from t')).rows).toEqual([{ n: 2 }]);
    });
  });

  it('sent twice destroys what runs, and loses nothing', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      await client.query('insert into t select generate_series(1, 100)');
      const hanging = slow.replace('pg_sleep(0.2)', 'pg_sleep(25)');
      const { dir } = makeProject({ 'a.ts': hanging });
      const up = start(args, { cwd: dir, url });
      await until('update runs', async () => {
        const { rowCount } = await client.query(
          "select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()",
        );
        return rowCount;
      });
      process.kill(up.pid, 'SIGINT');
      await up.says(/stopping/);
      process.kill(up.pid, 'SIGINT');
      expect(await up.outcome).toMatchObject({ code: 130 });
      expect((await client.query('select distinct n from t')).rows).toEqual([{ n: 0 }]);
    });
  });

  it('is not needed where --max-time ends the run, with exit code 5, or 0 with --max-time-ok', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      await client.query('insert into t select generate_series(1, 50000)');
      const { dir } = makeProject({ 'a.ts': slow });
      // A busy machine takes a second or two until the run has begun.
      const outcome = await run([...args, '--max-time', '5s'], { cwd: dir, url });
      expect(outcome.code, outcome.stderr).toBe(5);
      expect(outcome.stderr).toMatch(/resume: umzug-cluster up$/m);
      const over = [...args, '--max-time', '1ms', '--max-time-ok', '--json'];
      const fine = await run(over, { cwd: dir, url });
      expect(fine.code, fine.stderr).toBe(0);
      expect(JSON.parse(fine.stdout)).toMatchObject({
        migrations: [{ name: 'a', kind: 'data' }],
        stopped: { message: expect.stringMatching(/^stopped/) as string },
      });
    });
  });

  it('that destroys the same chunk again and again is not taken for a row that kills its process', async () => {
    await withDatabase(async ({ url, client }) => {
      // Inside of a chunk, and between a claim and its first chunk: several times, since the moment is chance.
      for (let time = 1; time <= 4; time += 1) {
        await client.query(`create table if not exists t (id int primary key, no int not null, n int not null default 0);
          truncate t;
          insert into t select i, i from generate_series(1, 6) as i; analyze t`);
        const abortedAfter = [3, 2, 1, 1];
        await visitAll(url, { table: 't', written: 't', style: 'rows', chunkSize: 1, abortedAfter });
        expect(await visits(client, 't')).toEqual({ 1: 6 });
      }
    });
  });
});
