import type pg from 'pg';
import { expect, it } from 'vitest';
import { type Running, rowsDone, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { counterRows, createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';

/**
 * A database that goes back in time under a run, as a failover does that loses the last commits. Here the ledger and the
 * rows are put back in one transaction, in the middle of the chunks of `up`.
 */

const other = `
  export const select = (db) => db('counters');
  export const update = async (db, rows) => {
    await db('counters').whereIn('id', rows.map(({ id }) => id)).increment('n', 1000);
  };
`;

async function inTheMiddle(url: string, client: pg.Client): Promise<Running & { readonly cwd: string }> {
  const { dir } = makeProject({ 'a.ts': rowsMigration(0.3) });
  const up = start(['up', '--workers', '2', '--chunk-size', '100'], { cwd: dir, url });
  await until('rows are migrated', async () => (await rowsDone(client)) >= 1_000);
  return { ...up, cwd: dir };
}

async function goBack(client: pg.Client, ledger: string): Promise<void> {
  await client.query(`begin; lock table umzug_cluster.ranges in access exclusive mode;
    ${ledger}; update counters set n = 0; commit`);
}

const each = async (client: pg.Client): Promise<unknown> =>
  (await client.query('select n, count(*)::int as rows from counters group by n')).rows;

it.each([
  [
    'its run',
    'delete from umzug_cluster.ranges; delete from umzug_cluster.controls; delete from umzug_cluster.hosts; delete from umzug_cluster.runs',
  ],
  ['the ledger', 'drop schema umzug_cluster cascade'],
])(
  'ends with 4 and says what has happened where %s is not there any more, and `up` begins again',
  async (_what, sql) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const up = await inTheMiddle(url, client);
      await goBack(client, sql);
      const { code, stderr } = await up.outcome;
      expect(stderr).toMatch(/a: the database went back in time, to before this command started its run/);
      expect(stderr).toMatch(/at least [\d,]+ rows it had migrated are undone/);
      expect(code).toBe(4);
      hurry(up.cwd);
      const again = await run(['up'], { cwd: up.cwd, url });
      expect(again.code, again.stderr).toBe(0);
      expect(await each(client)).toEqual([{ n: 1, rows: counterRows }]);
    });
  },
);

it('works on no other run that began in its place meanwhile', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const up = await inTheMiddle(url, client);
    await goBack(client, 'drop schema umzug_cluster cascade');
    const b = await run(['up'], { cwd: makeProject({ 'b.ts': other }).dir, url });
    expect(b.code, b.stderr).toBe(0);
    hurry(up.cwd);
    expect((await up.outcome).code).toBe(4);
    expect(await each(client), 'b alone').toEqual([{ n: 1000, rows: counterRows }]);
  });
});

it('goes on from where its run is now, and says how much is done again', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const up = await inTheMiddle(url, client);
    await goBack(
      client,
      `update umzug_cluster.ranges set cursor = null, state = 'open', rows = 0, chunks = 0, worker = null`,
    );
    await up.says(/the database went back in time: at least [\d,]+ migrated rows are undone/);
    hurry(up.cwd);
    const { code, stderr } = await up.outcome;
    expect(code, stderr).toBe(0);
    expect(await each(client)).toEqual([{ n: 1, rows: counterRows }]);
  });
});
