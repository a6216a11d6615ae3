import { beforeEach, describe, expect, it } from 'vitest';
import { appDatabase, columns, rows } from '../support/app-schema.ts';
import { somebodyWaits, withApplication } from '../support/application.ts';
import { runHere, visitAll, visits } from '../support/visits.ts';

const database = appDatabase();

beforeEach(async () => {
  await database.client.query(`
    create table t (id int primary key, ${columns})`);
});

describe('a key that the application changes while a chunk waits for its row', () => {
  it.each([
    ['the last of the chunk', 140],
    ['another one', 20],
  ])('of %s: each row is visited once, those between the old and the new key too', async (_which, no) => {
    await database.client.query(`insert into t select no * 2, no from generate_series(1, ${rows}) as no`);
    await withApplication(database.url, async (application) => {
      await application.query(`begin; update app.t set id = 701 where no = ${no}`);
      const up = visitAll(database.url, {
        table: 'app.t',
        written: 'app.t',
        style: 'rows',
        chunkSize: 140,
        lanes: 1,
        settings: { waitForOldTransactions: false },
      });
      await somebodyWaits(database.client);
      await application.query('commit');
      await up;
    });
    expect(await visits(database.client, 't')).toEqual({ 1: rows });
  });
});

describe('keys that the application changes all the while', () => {
  it.each(['rows', 'sets'] as const)('leave all other rows visited once, by %s', async (style) => {
    await database.client.query(`insert into t select no * 10, no from generate_series(1, ${rows}) as no`);
    await withApplication(database.url, async (application) => {
      let isOver = false;
      const jump = async (): Promise<void> => {
        // Every tenth row, to anywhere in the table, in a transaction that a chunk can wait for.
        for (let jumps = 0; !isOver; jumps += 1) {
          await application.query(`begin; update app.t set id = ${((jumps * 7919) % (rows * 10)) * 10 + 1}
            where no = ${10 * (1 + (jumps % (rows / 10)))}`);
          await application.query('select pg_sleep(0.002); commit');
        }
      };
      const jumping = jump();
      try {
        await visitAll(database.url, {
          table: 'app.t',
          written: 'app.t',
          style,
          chunkSize: 11,
          settings: { waitForOldTransactions: false },
        });
      } finally {
        isOver = true;
        await jumping;
      }
    });
    expect(await visits(database.client, '(select * from t where no % 10 <> 0) as others')).toEqual({
      1: rows * 0.9,
    });
  });
});

describe('rows that the application deletes', () => {
  it('while a chunk waits for them are left out, and update is never called without a row', async () => {
    await database.client.query(`insert into t select no, no from generate_series(1, ${rows}) as no;
      create table calls (rows int not null)`);
    await withApplication(database.url, async (application) => {
      // All rows of the second chunk, and one of the third.
      await application.query('begin; delete from app.t where id between 51 and 101');
      const up = runHere(
        database.url,
        () => `
          export const options = { chunkSize: 50 };
          export const select = (db) => db('app.t').select('id');
          export const update = async (db, rows) => {
            await db('app.calls').insert({ rows: rows.length });
            await db.raw('update app.t set n = n + 1 where id = any (?)', [rows.map(({ id }) => id)]);
          };`,
        { lanes: 1, settings: { waitForOldTransactions: false } },
      );
      await somebodyWaits(database.client);
      await application.query('commit');
      expect(await up).toBe(rows - 51);
    });
    expect(await visits(database.client, 't')).toEqual({ 1: rows - 51 });
    const { rows: calls } = await database.client.query('select min(rows) > 0 as all_with_rows from calls');
    expect(calls).toEqual([{ all_with_rows: true }]);
  });
});
