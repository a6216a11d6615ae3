import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { lockKeys, lockedChunk, pickKeys } from '../../src/migration/chunk/queries.ts';
import { SelectDatabase, db } from '../support/select-database.ts';

let select: SelectDatabase;

beforeAll(async () => {
  select = await SelectDatabase.create();
  await select.client.query(`
    create table properties (uuid uuid primary key default gen_random_uuid(), kind text, n int);
    insert into properties (kind, n) select 'dated', n from generate_series(1, 1000) n;
    create table tags (uuid uuid, tag text);
    insert into tags select uuid, 'tag' || n % 2 from properties where n <= 400;
    analyze;`);
});

afterAll(async () => {
  await select.drop();
});

it('locks the base rows, and only those of the chunk', async () => {
  const { shape, base } = await select.prepare(db('properties as p').select('p.n'));
  const other = new pg.Client({ connectionString: select.url });
  await other.connect();
  try {
    await select.client.query('begin');
    const statement = lockedChunk(shape, base, {
      after: null,
      upTo: await select.stopKey(base),
      limit: 10,
    });
    const { keys } = await select.read(statement, base);
    const free = await other.query(
      'select uuid::text from properties order by uuid limit 3 for no key update skip locked',
    );
    const [, , , , , , , , , tenth] = keys;
    expect(free.rows.every((row) => row.uuid > (tenth?.[0] ?? ''))).toBe(true);
    // A referencing row may still be inserted.
    const shared = await other.query(
      'select from properties order by uuid limit 10 for key share skip locked',
    );
    expect(shared.rowCount).toBe(10);
  } finally {
    await select.client.query('rollback');
    await other.end();
  }
});

it('locks the base rows of a join before it reads them, and no row of the other table', async () => {
  const query = db('properties as p').join('tags as t', 't.uuid', 'p.uuid').select('p.n', 't.tag');
  const { shape, base } = await select.prepare(query);
  const upTo = await select.stopKey(base);
  const other = new pg.Client({ connectionString: select.url });
  await other.connect();
  try {
    await select.client.query('begin');
    const picked = await select.keysOf(pickKeys(shape, base, { after: null, upTo, limit: 10 }));
    expect(await select.keysOf(lockKeys(base, picked))).toEqual(picked);
    const free = async (table: string): Promise<number | null> => {
      const sql = `select from ${table} where uuid = any ($1::uuid[]) for no key update skip locked`;
      return (await other.query(sql, [picked.flat()])).rowCount;
    };
    expect(await free('properties')).toBe(0);
    expect(await free('tags')).toBeGreaterThan(0);
  } finally {
    await select.client.query('rollback');
    await other.end();
  }
});
