import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { bad, byConstraint, rowStyle, values } from '../support/bad-rows.ts';
import { counterRows, createCounters, makeProject } from '../support/project.ts';

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
        expect(failed.stderr).toMatch(new RegExp(`^ {2}row ${id}: .*not_bad.*23514\\)$`, 'm'));
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
          rows: { done: number; estimated: number; quarantined: number };
          quarantine: Quarantined[];
        }[];
      };
      const [status] = shown.migrations;
      expect(status).toMatchObject({
        state: 'failed',
        rows: { done: counterRows - bad.length, estimated: counterRows, quarantined: bad.length },
        rowsPerSecond: null,
      });
      expect(status?.quarantine.map(({ key }) => Number(key[0])).toSorted((a, b) => a - b)).toEqual(bad);
      const most = Math.log2(10_000) + 3;
      for (const { attempts } of status?.quarantine ?? []) expect(attempts).toBeLessThanOrEqual(most);

      const inVain = await run(['retry', 'a', ...flags], place);
      expect(inVain.code, inVain.stderr).toBe(1);
      expect(inVain.stderr).toMatch(/5 rows are quarantined/);
      const attemptsBefore = new Map(status?.quarantine.map(({ key, attempts }) => [key[0], attempts]));
      const { rows: attempts } = await client.query<{ id: string; attempts: number }>(
        'select key[1] as id, attempts from umzug_cluster.quarantine',
      );
      for (const one of attempts) expect(one.attempts).toBeGreaterThan(attemptsBefore.get(one.id) ?? 0);
      const verified = await run(['verify', 'a'], place);
      expect(verified).toMatchObject({ code: 1, stdout: 'a  data  5 rows are quarantined\n' });
      expect(verified.stderr).toMatch(/hint: fix the rows or the code, then run: umzug-cluster retry a$/m);

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
        expect(failed.stderr).toMatch(new RegExp(`^ {2}row ${id}: .*not_bad.*23514\\)$`, 'm'));
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
