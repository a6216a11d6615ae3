import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { byConstraint, rowStyle, values } from '../support/bad-rows.ts';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { counterRows, createCounters, makeProject } from '../support/project.ts';

const isLong = process.env['FAULTS_LONG'] === '1';

describe('a migration that fails everywhere', () => {
  const failing = (body: string): string => `
    import { appendFileSync } from 'node:fs';
    export const select = (db) => db('counters').select('id');
    export const update = async (db, rows) => {
      appendFileSync('calls', rows.length + '\\n');
      ${body}
    };`;
  const calls = (dir: string): number =>
    readFileSync(path.join(dir, 'calls'), 'utf8').trim().split('\n').length;

  it.each([
    ['its code throws', `throw new Error('always');`, /always/],
    [
      'its SQL breaks a constraint',
      `await db('counters').update({ n: null }).where('id', rows[0].id);`,
      /null/,
    ],
    ['its SQL is wrong', `await db.raw('selct');`, /syntax/],
  ])(
    'stops after at most five calls and within 10 s, changes nothing and quarantines nothing: %s',
    async (_what, body, message) => {
      await withDatabase(async ({ url, client }) => {
        await client.query(createCounters);
        const project = makeProject({ 'a.ts': failing(body) });
        const place = { cwd: project.dir, url };
        const failed = await run(['up', '--workers', '2'], place);
        expect(failed.code, failed.stderr).toBe(1);
        expect(failed.stderr).toMatch(message);
        expect(calls(project.dir)).toBeLessThanOrEqual(5);
        const { rows } = await client.query('select count(*)::int as rows from umzug_cluster.quarantine');
        expect(rows).toEqual([{ rows: 0 }]);
        expect(await values(client)).toEqual([{ n: 0, rows: counterRows }]);
        const failedRun = await client.query(
          `select state, clock_timestamp() - started_at < interval '10 s' as is_quick from umzug_cluster.runs`,
        );
        expect(failedRun.rows, 'by the clock of the database').toMatchObject([{ state: 'failed' }]);
        // a figure of a machine that has nothing else to do
        if (isLong) expect(failedRun.rows).toMatchObject([{ is_quick: true }]);

        // the file is mended: nothing was changed, so nothing has to be reverted first
        project.write('a.ts', rowStyle);
        const mended = await run(['up', '--workers', '2'], place);
        expect(mended.code, mended.stderr).toBe(0);
        expect(await values(client)).toEqual([{ n: 1, rows: counterRows }]);
      });
    },
  );

  it('stops where more than half of the last 20 chunks failed, though the first ones did not', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${createCounters}
        alter table counters add constraint not_bad check (n = 0 or id < 50 or id % 3 = 0)`);
      const place = { cwd: makeProject({ 'a.ts': rowStyle }).dir, url };
      const env = { UMZUG_CLUSTER_LANES: '1', UMZUG_CLUSTER_MAX_QUARANTINED: '1000' };
      const failed = await run(['up', '--workers', '1', '--chunk-size', '1'], { ...place, env });
      expect(failed.code, failed.stderr).toBe(1);
      expect(failed.stderr).toMatch(/more than half of the last 20 chunks failed/);
      const { rows } = await client.query<{ bad: number; done: number }>(
        `select (select count(*)::int from umzug_cluster.quarantine) as bad,
                (select count(*)::int from counters where n = 1) as done`,
      );
      // All chunks but those of the first rows fail two times out of three.
      expect(rows[0]?.bad).toBeGreaterThan(10);
      expect(rows[0]?.bad).toBeLessThan(40);
      expect(rows[0]?.done).toBeLessThan(100);
    });
  });

  it('stops at the limit of quarantined rows', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters + byConstraint);
      const place = { cwd: makeProject({ 'a.ts': rowStyle }).dir, url };
      const env = { UMZUG_CLUSTER_MAX_QUARANTINED: '2' };
      const failed = await run(['up', '--workers', '1'], { ...place, env });
      expect(failed.code, failed.stderr).toBe(1);
      expect(failed.stderr).toMatch(/2 rows are quarantined, the limit/);
      await client.query('alter table counters drop constraint not_bad');
      expect(await run(['up'], place), 'only retry goes on').toMatchObject({ code: 1 });
      const retried = await run(['retry', 'a'], place);
      expect(retried.code, retried.stderr).toBe(0);
      expect(await values(client)).toEqual([{ n: 1, rows: counterRows }]);
    });
  });
});
