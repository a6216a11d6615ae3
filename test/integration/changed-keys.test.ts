import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { somebodyWaits, withApplication } from '../support/application.ts';
import { type TestDatabase, createDatabase } from '../support/database.ts';
import { visitAll, visits } from '../support/visits.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
});

afterAll(async () => {
  await database.drop();
});

const rows = 400;

beforeEach(async () => {
  await database.client.query(`
    drop schema if exists app cascade; create schema app; set search_path = app, public;
    create table t (id int primary key, no int not null, n int not null default 0)`);
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
