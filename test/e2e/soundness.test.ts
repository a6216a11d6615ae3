import { describe, expect, it } from 'vitest';
import { killGroup, run, start } from '../support/cli.ts';
import { type TestDatabase, withDatabase } from '../support/database.ts';
import { createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';

/** What a person with psql, or half a restore, may do to the ledger, and what the next `up` says of it. */
const damages: readonly { readonly what: string; readonly sql: string; readonly says: RegExp }[] = [
  {
    what: 'a range was removed',
    sql: 'delete from umzug_cluster.ranges where no = 2',
    says: /the ranges of run \d+ of a are not contiguous/,
  },
  {
    what: 'a range was stretched over its neighbour',
    sql: `update umzug_cluster.ranges set hi = '{15000}', cursor = null where no = 1`,
    says: /not contiguous/,
  },
  {
    what: 'a cursor was put outside its range',
    sql: `update umzug_cluster.ranges set cursor = '{999999}' where no = 8`,
    says: /the cursor of range 8 of run \d+ of a is outside it/,
  },
  {
    what: 'the ledger is of a time that the data has not reached',
    sql: `update umzug_cluster.runs set start_xid = '99999999999'`,
    says: /began with transaction 99999999999, which this database has not reached/,
  },
  {
    what: 'a quarantined row was forgotten',
    sql: `update umzug_cluster.ranges set state = 'quarantined' where no = 8`,
    says: /has 1 quarantined ranges, but 0 quarantined rows/,
  },
  {
    what: 'rows were counted that no chunk has migrated',
    sql: 'update umzug_cluster.ranges set rows = 5, chunks = 0 where no = 8',
    says: /range 8 of run \d+ of a counts 5 rows in no chunk/,
  },
];

/** A run that was killed in the middle. */
async function interrupted({ url, client }: TestDatabase): Promise<string> {
  await client.query(createCounters);
  const { dir } = makeProject({ 'a.ts': rowsMigration(0.3) });
  const up = start(['up', '--workers', '1', '--chunk-size', '100'], { cwd: dir, url });
  await expect.poll(async () => await doneChunks(client), { timeout: 30_000 }).toBeGreaterThan(2);
  killGroup(up.pid);
  await up.outcome;
  hurry(dir);
  return dir;
}

async function doneChunks(client: TestDatabase['client']): Promise<number> {
  const found = await client.query(`select to_regclass('umzug_cluster.ranges') is not null as there`);
  if (found.rows[0]?.there !== true) return 0;
  const { rows } = await client.query('select sum(chunks)::int as n from umzug_cluster.ranges');
  return Number(rows[0]?.n ?? 0);
}

describe('a ledger that contradicts itself', () => {
  it('is refused with what is wrong, and nothing runs', async () => {
    await withDatabase(async (database) => {
      const cwd = await interrupted(database);
      const { url, client } = database;
      for (const { what, sql, says } of damages) {
        await client.query(
          'create table saved as table umzug_cluster.ranges; create table kept as table umzug_cluster.runs',
        );
        await client.query(sql);
        const before = await client.query('select sum(n) as n from counters');
        const { code, stderr } = await run(['up'], { cwd, url });
        expect({ what, code }).toEqual({ what, code: 70 });
        expect(stderr).toMatch(says);
        expect(stderr).toMatch(/nothing was changed/);
        expect((await client.query('select sum(n) as n from counters')).rows).toEqual(before.rows);
        await client.query(`
          delete from umzug_cluster.ranges; insert into umzug_cluster.ranges table saved; drop table saved;
          update umzug_cluster.runs set start_xid = kept.start_xid from kept; drop table kept`);
      }
      expect((await run(['up'], { cwd, url })).code).toBe(0);
      const { rows } = await client.query('select min(n), max(n) from counters');
      expect(rows).toEqual([{ min: 1, max: 1 }]);
    });
  });

  it('is refused where the record of what was done is gone', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const { dir } = makeProject({ 'a.ts': rowsMigration() });
      expect((await run(['up'], { cwd: dir, url })).code).toBe(0);
      await client.query('delete from umzug_cluster.migrations');
      const { code, stderr } = await run(['up'], { cwd: dir, url });
      expect(code).toBe(70);
      expect(stderr).toMatch(/a was done by run \d+, but is not recorded as executed/);
      const { rows } = await client.query('select min(n), max(n) from counters');
      expect(rows).toEqual([{ min: 1, max: 1 }]);
    });
  });
});
