import { readFileSync } from 'node:fs';
import path from 'node:path';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { counterRows, createCounters, makeProject } from '../support/project.ts';

const bad = [1, 2, 7_777, 15_000, counterRows];

// The rows in `bad` fail: by a constraint, or by an error of the code.
const byConstraint = `
  alter table counters add column is_bad boolean not null default false;
  update counters set is_bad = true where id = any ('{${bad.join(',')}}');
  truncate writes;
  alter table counters add constraint not_bad check (not is_bad or n = 0);`;

const rowStyle = `
  const change = (n) => (db, rows) =>
    db('counters').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + ?', [n]) });
  export const select = (db) => db('counters').select('id');
  export const update = change(1);
  export const down = { select, update: change(-1) };`;

const setStyle = `
  import { setBased } from 'umzug-cluster';
  const change = (n) => setBased((chunk, db) => chunk.update({ n: db.raw('n + ?', [n]) }));
  export const select = (db) => db('counters').select('id');
  export const update = change(1);
  export const down = { select, update: change(-1) };`;

const joined = rowStyle.replace(
  `db('counters').select('id')`,
  `db('counters').leftJoin('writes', 'writes.id', 'counters.id').select('counters.id')`,
);

interface Quarantined {
  readonly key: readonly string[];
  readonly attempts: number;
  readonly error: string;
}

async function values(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query('select n, count(*)::int as rows from counters group by n order by n');
  return rows;
}

async function maxWrites(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query<{ most: number }>(
    'select coalesce(max(times), 0)::int as most from (select count(*) as times from writes group by id) as w',
  );
  return rows[0]?.most;
}

describe('bad rows', () => {
  it.each([
    ['by rows', rowStyle, '2'],
    ['by sets', setStyle, '1'],
    ['over a join', joined, '2'],
  ])('are set aside, all others are migrated, retry runs just those: %s', async (_how, source, workers) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters + byConstraint);
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const flags = ['--workers', workers];
      const failed = await run(['up', ...flags], place);
      expect(failed.code, failed.stderr).toBe(1);
      expect(failed.stderr).toMatch(/^error: a, up: 5 rows are quarantined/m);
      for (const id of bad)
        expect(failed.stderr).toMatch(new RegExp(`^ {2}row ${id}: .*not_bad.*23514`, 'm'));
      expect(failed.stderr).toContain('umzug-cluster retry a');
      const migrated = [
        { n: 0, rows: bad.length },
        { n: 1, rows: counterRows - bad.length },
      ];
      expect(await values(client)).toEqual(migrated);

      const again = await run(['up', ...flags], place);
      expect(again.code).toBe(1);
      expect(again.stderr).toMatch(/5 rows are quarantined/);
      const shown = JSON.parse((await run(['status', '--json'], place)).stdout) as {
        migrations: {
          state: string;
          rows: { done: number; quarantined: number };
          quarantine: Quarantined[];
        }[];
      };
      const [status] = shown.migrations;
      expect(status).toMatchObject({
        state: 'failed',
        rows: { done: counterRows - bad.length, quarantined: bad.length },
      });
      expect(status?.quarantine.map(({ key }) => Number(key[0])).toSorted((a, b) => a - b)).toEqual(bad);
      const most = Math.log2(10_000) + 3;
      for (const { attempts } of status?.quarantine ?? []) expect(attempts).toBeLessThanOrEqual(most);

      const inVain = await run(['retry', 'a', ...flags], place);
      expect(inVain.code, inVain.stderr).toBe(1);
      expect(inVain.stderr).toMatch(/5 rows are quarantined/);

      await client.query('alter table counters drop constraint not_bad');
      const retried = await run(['retry', 'a', ...flags], place);
      expect(retried.code, retried.stderr).toBe(0);
      expect(await values(client)).toEqual([{ n: 1, rows: counterRows }]);
      expect(await maxWrites(client), 'no row was written twice').toBe(1);
      const nothing = await run(['retry', 'a'], place);
      expect(nothing).toMatchObject({ code: 0, stdout: 'no row of a is quarantined\n' });
      expect(await run(['up'], place)).toMatchObject({ code: 0, stdout: 'nothing is pending\n' });
      expect(await run(['down', ...flags], place)).toMatchObject({ code: 0 });
      expect(await values(client)).toEqual([{ n: 0, rows: counterRows }]);
    });
  });

  it('are left out by down', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters + byConstraint);
      const place = { cwd: makeProject({ 'a.ts': rowStyle }).dir, url };
      expect(await run(['up', '--workers', '1'], place)).toMatchObject({ code: 1 });
      const down = await run(['down', '--workers', '1'], place);
      expect(down.code, down.stderr).toBe(0);
      expect(await values(client)).toEqual([{ n: 0, rows: counterRows }]);
    });
  });

  it('of down.update are set aside as well: the others go back, and retry finishes the rollback', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const place = { cwd: makeProject({ 'a.ts': rowStyle }).dir, url };
      expect(await run(['up', '--workers', '1'], place)).toMatchObject({ code: 0 });
      await client.query(`alter table counters add constraint not_bad check (n = 1 or id <> all ('{${bad.join(',')}}'))
        not valid`);
      const failed = await run(['down', '--workers', '1'], place);
      expect(failed.code, failed.stderr).toBe(1);
      expect(failed.stderr).toMatch(/^error: a, down: 5 rows are quarantined/m);
      for (const id of bad)
        expect(failed.stderr).toMatch(new RegExp(`^ {2}row ${id}: .*not_bad.*23514`, 'm'));
      const half = [
        { n: 0, rows: counterRows - bad.length },
        { n: 1, rows: bad.length },
      ];
      expect(await values(client)).toEqual(half);
      expect(await run(['up'], place), 'half a rollback is no state to go up from').toMatchObject({
        code: 3,
      });
      expect(await run(['down'], place)).toMatchObject({ code: 1 });
      expect(await values(client)).toEqual(half);
      await client.query('alter table counters drop constraint not_bad');
      const retried = await run(['retry', 'a'], place);
      expect(retried.code, retried.stderr).toBe(0);
      expect(await values(client)).toEqual([{ n: 0, rows: counterRows }]);
      expect(await run(['up', '--workers', '1'], place)).toMatchObject({ code: 0 });
      expect(await values(client)).toEqual([{ n: 1, rows: counterRows }]);
    });
  });

  it('that throw in update keep the message of the author, and retry takes a mended file', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const throwing = rowStyle
        .replace(
          'const change = (n) => (db, rows) =>',
          `const change = (n) => (db, rows) => {
          if (rows.some(({ id }) => id === '7777')) throw new Error('seven is on strike');
          return (`,
        )
        .replace('[n]) });\n', '[n]) })) };\n');
      const project = makeProject({ 'a.ts': throwing });
      const place = { cwd: project.dir, url };
      const failed = await run(['up', '--workers', '1'], place);
      expect(failed.code, failed.stderr).toBe(1);
      expect(failed.stderr).toMatch(/^ {2}row 7777: seven is on strike/m);
      project.write('a.ts', rowStyle);
      const retried = await run(['retry', 'a'], place);
      expect(retried.code, retried.stderr).toBe(0);
      expect(await values(client)).toEqual([{ n: 1, rows: counterRows }]);
    });
  });
});

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
        expect(failedRun.rows, 'by the clock of the database').toEqual([{ state: 'failed', is_quick: true }]);

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
