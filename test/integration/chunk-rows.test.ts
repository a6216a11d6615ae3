import type { Knex } from 'knex';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { lockedChunk } from '../../src/migration/chunk/queries.ts';
import { ChunkRows, type ShownKey } from '../../src/migration/chunk/rows.ts';
import { inPlaces } from '../../src/migration/key/key.ts';
import { queryRows } from '../../src/postgres/row-query.ts';
import { byKey } from '../../src/run/order/by-key.ts';
import { readBatch } from '../../src/run/chunk/batch.ts';
import { Session } from '../../src/postgres/session.ts';
import { SelectDatabase, db } from '../support/select-database.ts';

/** The key of a chunk's rows: sent once, by the author's own columns where they have it. */

let select: SelectDatabase;

beforeAll(async () => {
  select = await SelectDatabase.create();
});

afterAll(async () => {
  await select.drop();
});

beforeEach(async () => {
  await select.client.query(`
    drop table if exists t, pairs, codes, hosts;
    create table t (first int, other int not null, id bigint primary key, name text, when_ timestamptz);
    insert into t select n, 9 - n, n, 'row ' || n, now() from generate_series(1, 5) n;
    create table pairs (a int, b text, c int, primary key (a, b));
    insert into pairs select n / 2, 'b,"' || n, n from generate_series(1, 5) n;
    create table codes (id char(3) primary key, n int);
    insert into codes values ('a', 1), ('bc', 2);
    create table hosts (id inet primary key, n int);
    insert into hosts values ('10.0.0.1', 1), ('10.0.0.2', 2);`);
});

interface Seen {
  readonly rows: object[];
  readonly keys: (readonly string[])[];
  readonly shownAt: readonly number[] | null;
  readonly columns: number;
  readonly taken: ChunkRows;
}

/** Reads five rows; `shown`: without the key, which is expected there. */
async function read(query: Knex.QueryBuilder, shown: ShownKey['places'] = null): Promise<Seen> {
  const { shape, base } = await select.prepare(query);
  const range = { after: null, upTo: await select.stopKey(base), limit: 5 };
  const statement = lockedChunk(shape, base, range, { isKeyShown: shown !== null });
  const taken = new ChunkRows(base, shown);
  const { rows } = (await queryRows(select.client, statement, taken)) as { rows: object[] };
  const { fields } = await select.client.query(statement.text, [...statement.values]);
  return { rows, keys: [...taken.keys], shownAt: taken.shownAt, columns: fields.length, taken };
}

describe('a key that the select returns by itself', () => {
  it.each<[string, () => Knex.QueryBuilder, readonly number[]]>([
    ['a column', () => db('t').select('name', 'id'), [1]],
    ['all columns', () => db('t'), [2]],
    ['under another name', () => db('t').select('id as number', 'first as id'), [0]],
    ['of two columns, in any order', () => db('pairs').select('b', 'c', 'a'), [2, 0]],
  ])('is read from its own columns: %s', async (_, query, places) => {
    const before = await read(query());
    expect(before.shownAt).toEqual(places);
    const after = await read(query(), places);
    expect(after).toMatchObject({ rows: before.rows, keys: before.keys, shownAt: places });
    expect(after.taken.isAstray).toBe(false);
    expect(after.taken.last).toEqual(before.keys.at(-1));
    expect(after.columns, 'the key is not sent twice').toBe(before.columns - 1);
  });

  it.each<[string, () => Knex.QueryBuilder]>([
    ['another column under its name', () => db('t').select('first as id')],
    ['a cast of it', () => db('t').select(db.raw('id::text as id'))],
    ['an expression', () => db('t').select(db.raw('id + 0 as id'))],
    ['one of its two columns', () => db('pairs').select('a', 'c')],
    ['sent otherwise than it is cast: with blanks', () => db('codes').select('id')],
    ['sent otherwise than it is cast: without its mask', () => db('hosts').select('id')],
  ])('is none: %s', async (_, query) => {
    const { rows, keys, shownAt } = await read(query());
    expect(shownAt).toBe(null);
    expect(keys).toHaveLength(rows.length);
    expect(Object.keys(rows[0] ?? {}).join()).not.toMatch(/umzug/);
  });

  it("is its text, whatever an application's parser makes of it", async () => {
    const parse = pg.types.getTypeParser(pg.types.builtins.INT8);
    pg.types.setTypeParser(pg.types.builtins.INT8, (text) => `#${text}`);
    try {
      const { rows, keys } = await read(db('t').select('id'), [0]);
      expect(rows[0]).toEqual({ id: '#1' });
      expect(keys[0]).toEqual(['1']);
    } finally {
      pg.types.setTypeParser(pg.types.builtins.INT8, parse);
    }
  });

  it('is told beside the place in the file', async () => {
    const { shape, base } = await select.prepare(db('t').select('id', 'name'));
    const placed = inPlaces(base);
    const range = { after: ['(0,0)'], upTo: ['(9,0)'], limit: 3 };
    for (const shown of [null, [0]]) {
      const taken = new ChunkRows(base, shown);
      const statement = lockedChunk(shape, placed, range, { identity: base, isKeyShown: shown !== null });
      const { rows } = (await queryRows(select.client, statement, taken)) as { rows: object[] };
      expect(rows.map((row) => Object.keys(row).join())).toEqual(['id,name', 'id,name', 'id,name']);
      expect([...taken.keys]).toEqual([['1'], ['2'], ['3']]);
      expect(taken.last).toEqual(['(0,3)']);
    }
  });

  it('is asked for again where a column before it was dropped, or its place is taken by another', async () => {
    const session = await Session.open({
      connection: select.url,
      connectTimeoutMs: 5_000,
      answerTimeoutMs: 0,
    });
    try {
      const { shape, base } = await select.prepare(db('t'));
      const shown: ShownKey = { places: null };
      const range = { after: null, upTo: ['5'], limit: 2 };
      const next = async (): Promise<unknown> => {
        await session.query('begin');
        const guard = { builder: db } as unknown as Parameters<typeof readBatch>[1];
        const batch = await readBatch(session, guard, {
          shape,
          base,
          order: byKey,
          range,
          bound: null,
          shown,
        });
        await session.query('commit');
        return [...batch.keys];
      };
      expect([await next(), shown.places]).toEqual([[['1'], ['2']], [2]]);
      expect([await next(), shown.places]).toEqual([[['1'], ['2']], [2]]);
      await select.client.query('alter table t drop column first');
      expect([await next(), shown.places]).toEqual([[['1'], ['2']], [1]]);
      await select.client.query('alter table t drop column other, add column other int default 7');
      expect([await next(), shown.places]).toEqual([[['1'], ['2']], [0]]);
    } finally {
      await session.end();
    }
  });
});
