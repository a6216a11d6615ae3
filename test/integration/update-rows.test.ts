import knexFactory from 'knex';
import type { Knex } from 'knex';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { updateRows } from '../../src/migration/write-rows/update-rows.ts';
import { createDatabase } from '../support/database.ts';

type TestDatabase = Awaited<ReturnType<typeof createDatabase>>;

let database: TestDatabase;
let db: Knex;

beforeAll(async () => {
  database = await createDatabase();
  await database.client.query(`
    create type mood as enum ('sad', 'happy');
    create domain short as varchar(5);
    create table things (
      a bigint, b text, primary key (a, b),
      "weird ""col?" text, amount numeric(10, 2), doc jsonb, tags text[], grid int[],
      feeling mood, code short, at timestamptz, raw bytea, flag boolean
    );
    insert into things (a, b) select n, 'x' from generate_series(1, 1000) as n`);
  db = knexFactory({ client: 'pg', connection: database.url });
});
afterAll(async () => {
  await db.destroy();
  await database.drop();
});

async function row(a: number): Promise<Record<string, unknown>> {
  const { rows } = await database.client.query<Record<string, unknown>>('select * from things where a = $1', [
    a,
  ]);
  return rows[0] ?? {};
}

describe('updateRows', () => {
  it('stores values as a plain update would, whatever their type', async () => {
    const at = new Date('2025-05-18T22:04:04.123Z');
    const values = {
      'weird "col?': 'it\'s {"a"}, \\ ok',
      amount: '1234567.891',
      doc: { a: [1, null, 'ü'] },
      tags: ['a,b', 'c"d', null, ''],
      grid: [
        [1, 2],
        [3, 4],
      ],
      feeling: 'happy',
      code: 'abc',
      at,
      raw: Buffer.from([0, 255, 10]),
      flag: false,
    };
    const set = Object.keys(values);
    expect(await updateRows(db, 'things', [{ a: '1', b: 'x', ...values }], { key: ['a', 'b'], set })).toBe(1);
    expect(await row(1)).toMatchObject({ ...values, amount: '1234567.89' });
  });

  it('takes json as value or as text, and null everywhere', async () => {
    const set = ['doc', 'tags'];
    const rows = [
      { a: 2, b: 'x', doc: '{"b": 2}', tags: null },
      { a: 3, b: 'x', doc: [1, 2], tags: [] },
      { a: 4, b: 'x', doc: null, tags: ['z'] },
    ];
    expect(await updateRows(db, 'public.things', rows, { key: ['a', 'b'], set })).toBe(3);
    expect(await row(2)).toMatchObject({ doc: { b: 2 }, tags: null });
    expect(await row(3)).toMatchObject({ doc: [1, 2], tags: [] });
    expect(await row(4)).toMatchObject({ doc: null, tags: ['z'] });
  });

  it('writes a different value to each of many rows in one statement', async () => {
    const statements: string[] = [];
    db.on('query', ({ sql }: { sql: string }) => statements.push(sql));
    const rows = Array.from({ length: 1_000 }, (_, index) => ({ a: index + 1, b: 'x', amount: index / 4 }));
    expect(await updateRows(db, 'things', rows, { key: ['a', 'b'], set: ['amount'] })).toBe(1_000);
    expect(statements.filter((sql) => sql.startsWith('update'))).toHaveLength(1);
    expect(await row(1_000)).toMatchObject({ amount: '249.75' });
  });

  it('leaves out rows that are gone, and says how many it changed', async () => {
    const rows = [
      { a: 5, b: 'x', flag: true },
      { a: 5, b: 'gone', flag: true },
    ];
    expect(await updateRows(db, 'things', rows, { key: ['a', 'b'], set: ['flag'] })).toBe(1);
    expect(await row(5)).toMatchObject({ flag: true });
  });

  it('finds a table as the search path does, and quotes every name', async () => {
    await database.client.query(`
      create schema "Other";
      create table "Other"."what? ""now""" (id uuid primary key, v char(3), "c0" numeric(4, 1));
      insert into "Other"."what? ""now""" values ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')`);
    const rows = [{ id: 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', v: 'a', c0: 1.25 }];
    const columns = { key: ['id'], set: ['v', 'c0'] };
    expect(await updateRows(db, 'Other.what? "now"', rows, columns)).toBe(1);
    await db.transaction(async (trx) => {
      await trx.raw('set local search_path to "Other"');
      expect(await updateRows(trx, 'what? "now"', rows, columns)).toBe(1);
    });
    const { rows: stored } = await database.client.query('select v, c0 from "Other"."what? ""now"""');
    expect(stored).toEqual([{ v: 'a  ', c0: '1.3' }]);
    await expect(updateRows(db, 'nope', rows, columns)).rejects.toThrow(/"nope" does not exist/);
  });

  it('takes table and columns by the names that the application has for them', async () => {
    await database.client.query(
      'create table user_accounts (account_id int primary key, full_name text); insert into user_accounts values (1)',
    );
    const snake = knexFactory({
      client: 'pg',
      connection: database.url,
      wrapIdentifier: (name, wrap) => wrap(name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)),
    });
    try {
      const columns = { key: ['accountId'], set: ['fullName'] };
      const rows = [{ accountId: 1, fullName: 'Ada' }];
      expect(await updateRows(snake, 'public.userAccounts', rows, columns)).toBe(1);
      expect(await snake('userAccounts').select('fullName')).toEqual([{ full_name: 'Ada' }]);
    } finally {
      await snake.destroy();
    }
  });

  it('does nothing for no rows', async () => {
    expect(await updateRows(db, 'things', [], { key: ['a', 'b'], set: ['flag'] })).toBe(0);
  });

  const key = ['a', 'b'];
  it.each([
    ['undefined', [{ a: 1, b: 'x', flag: undefined }], key, ['flag'], /row 1 has no value for column "flag"/],
    ['an unknown column', [{ a: 1, b: 'x', flg: 1 }], key, ['flg'], /"flg" is not a column.*"flag"/],
    [
      'one key twice',
      [
        { a: 1, b: 'x', flag: true },
        { a: 1, b: 'x', flag: true },
      ],
      key,
      ['flag'],
      /row 2 has the key/,
    ],
    [
      'null in the key',
      [{ a: null, b: 'x', flag: true }],
      key,
      ['flag'],
      /row 1 has null in the key column "a"/,
    ],
    [
      'one key in two spellings',
      [
        { a: 1, b: 'x', flag: true },
        { a: '01', b: 'x', flag: false },
      ],
      key,
      ['flag'],
      /row 2 has the key of row 1/,
    ],
    ['a row that is none', [null as never], key, ['flag'], /row 1 is not an object/],
    ['no columns', [{ a: 1 }], key, [], /at least one column/],
  ])('refuses %s, without saying a value', async (_what, rows, keys, set, message) => {
    const error: unknown = await updateRows(db, 'things', rows, { key: keys, set }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({
      code: 'MIGRATION_FAILED',
      message: expect.stringMatching(message) as string,
    });
    expect(String(error)).not.toContain('secret');
  });

  it('refuses what the column refuses', async () => {
    const rows = [{ a: 1, b: 'x', code: 'too long' }];
    await expect(updateRows(db, 'things', rows, { key, set: ['code'] })).rejects.toMatchObject({
      code: '22001',
    });
  });
});
