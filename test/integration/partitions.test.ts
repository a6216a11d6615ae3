import { describe, expect, it } from 'vitest';
import { appDatabase, columns, filled, rows, styles, visitTwice } from '../support/app-schema.ts';
import { somebodyWaits, withApplication } from '../support/application.ts';
import { runHere, visitAll, visits } from '../support/visits.ts';

const database = appDatabase();

const partitioned: readonly (readonly [what: string, sql: string])[] = [
  [
    'range',
    `create table t (id int, at date, ${columns}, primary key (id, at)) partition by range (at);
     create table t1 partition of t for values from (minvalue) to ('2024-01-05');
     create table t2 partition of t for values from ('2024-01-05') to (maxvalue);
     ${filled(`no, date '2024-01-01' + no % 9`)}`,
  ],
  [
    'list, with a default',
    `create table t (region text, id int, ${columns}, primary key (region, id)) partition by list (region);
     create table t1 partition of t for values in ('a', 'b'); create table t2 partition of t default;
     ${filled(`chr(97 + no % 4), no`)}`,
  ],
  [
    'hash',
    `create table t (id uuid primary key, ${columns}) partition by hash (id);
     create table t0 partition of t for values with (modulus 3, remainder 0);
     create table t1 partition of t for values with (modulus 3, remainder 1);
     create table t2 partition of t for values with (modulus 3, remainder 2);
     ${filled('md5(no::text)::uuid')}`,
  ],
  [
    'nested, with other columns in other places',
    `create table t (id int, region text, at date, ${columns}, primary key (id, at, region)) partition by list (region);
     create table ta partition of t for values in ('a') partition by range (at);
     create table ta1 partition of ta for values from (minvalue) to ('2024-01-05');
     create table ta2 (n int not null default 0, gone int, no int not null, at date, region text, id int);
     alter table ta2 drop column gone;
     alter table ta2 alter id set not null, alter at set not null, alter region set not null;
     alter table ta attach partition ta2 for values from ('2024-01-05') to (maxvalue);
     create table tb partition of t default partition by hash (id);
     create table tb0 partition of tb for values with (modulus 2, remainder 0);
     create table tb1 partition of tb for values with (modulus 2, remainder 1);
     insert into t select no, chr(97 + no % 3), date '2024-01-01' + no % 9, no from generate_series(1, ${rows}) as no`,
  ],
];

describe('a partitioned table', () => {
  it.each(partitioned)('by %s: each row is visited once up and once down', async (_what, sql) => {
    await database.client.query(sql);
    await visitTwice(database);
    expect(await visits(database.client, 't')).toEqual({ 22: rows });
  });

  it('is one of its partitions', async () => {
    await database.client.query(partitioned[3]?.[1] ?? '');
    await visitTwice(database, { table: 'app.ta2' });
    const { rows: seen } = await database.client.query(
      'select distinct tableoid::regclass::text as part, n from t order by part',
    );
    expect(seen).toEqual([
      { part: 'ta1', n: 0 },
      { part: 'ta2', n: 22 },
      { part: 'tb0', n: 0 },
      { part: 'tb1', n: 0 },
    ]);
  });

  const moving = `
    create table t (id int, region text, ${columns}, primary key (id, region)) partition by list (region);
    create table ta partition of t for values in ('a'); create table tb partition of t for values in ('b');
    ${filled(`no, 'b'`)}; analyze t`;

  it.each(styles)('has a row that moves while a chunk waits for it: tried again, by %s', async (style) => {
    await database.client.query(moving);
    await withApplication(database.url, async (application) => {
      await application.query(`begin; update app.t set region = 'a' where id = 50`);
      const log: string[] = [];
      const up = visitAll(database.url, {
        table: 'app.t',
        written: 'app.t',
        style,
        // Or it would wait for the application before it begins.
        settings: { waitForOldTransactions: false },
        onLog: (line) => void log.push(line),
      });
      await somebodyWaits(database.client);
      await application.query('commit');
      await up;
      expect(log.join('\n')).toMatch(/is tried again: .*moved to another partition/);
    });
    expect(await visits(database.client, 't')).toEqual({ 1: rows });
  });

  // `gate` keeps the statement that picks the keys from ending, when its snapshot is taken already.
  it('has a row that moves between the picking and the locking of a chunk’s keys', async () => {
    await database.client.query(`${moving};
      create function gate(id int) returns boolean language plpgsql as $$ begin
        if id = 60 then perform pg_advisory_xact_lock_shared(1); end if; return true; end $$;
      create table lookup (id int primary key); insert into lookup select generate_series(1, ${rows})`);
    await withApplication(database.url, async (application) => {
      await application.query('select pg_advisory_lock(1)');
      const up = runHere(
        database.url,
        () => `
          export const options = { chunkSize: 100 };
          export const select = (db) => db('app.t as t').join('app.lookup as l', 'l.id', 't.id')
            .select('t.no').whereRaw('app.gate(t.id)');
          export const update = (db, rows) => db('app.t').whereIn('no', rows.map(({ no }) => no))
            .update({ n: db.raw('n + 1') });`,
        { lanes: 1 },
      );
      await somebodyWaits(database.client);
      await application.query(`update app.t set region = 'a' where id in (20, 100)`);
      await application.query('select pg_advisory_unlock(1)');
      await up;
    });
    expect(await visits(database.client, 't')).toEqual({ 1: rows });
  });

  it('has rows that move all the while', async () => {
    await database.client.query(moving);
    await withApplication(database.url, async (application) => {
      let isOver = false;
      let moved = 0;
      const moveAll = async (): Promise<void> => {
        while (!isOver) {
          const { rowCount } = await application.query(
            `update app.t set region = 'a' where (id, region) = (
               select id, region from app.t where region = 'b' and id > $1 order by id limit 1)`,
            [(moved * 7919) % rows],
          );
          moved += 1;
          if (rowCount === 0 && moved > 20 * rows) return;
        }
      };
      const moves = moveAll();
      try {
        await visitAll(database.url, { table: 'app.t', written: 'app.t', style: 'rows', chunkSize: 23 });
      } finally {
        isOver = true;
        await moves;
      }
      expect(moved).toBeGreaterThan(10);
    });
    expect(await visits(database.client, 't')).toEqual({ 1: rows });
  });
});
