import { afterAll, beforeAll, expect, it } from 'vitest';
import { pickKeys } from '../../src/migration/chunk/queries.ts';
import { keyAtOffset } from '../../src/migration/key/queries.ts';
import { SelectDatabase, db } from '../support/select-database.ts';

/** How a sweep looks for what is left: all of it in one search, of which it takes the first rows. */

let select: SelectDatabase;

beforeAll(async () => {
  select = await SelectDatabase.create();
  await select.client.query(`
    create schema "Other";
    create table properties (uuid uuid primary key default gen_random_uuid(), kind text, n int);
    insert into properties (kind, n)
      select case n % 3 when 0 then 'dated' else 'given' end, n from generate_series(1, 20000) n;
    create table "Other"."Things" (a int, b int, note text, primary key (a, b));
    insert into "Other"."Things" select n % 10, n, 'x' from generate_series(1, 400) n;
    create table tags (uuid uuid, tag text);
    insert into tags select uuid, 'tag' || n % 2 from properties where n <= 400;
    analyze;`);
});

afterAll(async () => {
  await select.drop();
});

it('gathers the same rows of any select as a walk meets, without walking the key', async () => {
  const queries = [
    db('properties').where('kind', 'dated'),
    db('properties as p').join('tags as t', 't.uuid', 'p.uuid').where('t.tag', 'tag1').orWhere('p.n', 2),
    db('properties').with('few', db('tags').where('tag', 'tag1')).whereIn('uuid', db('few').select('uuid')),
    db('Other.Things as t').whereExists(db('tags')).where('t.a', 3).orWhere('t.b', 1),
  ];
  for (const query of queries) {
    const { shape, base } = await select.prepare(query);
    const upTo = await select.stopKey(base);
    const [after = null] = await select.keysOf(keyAtOffset(base, null, upTo, 10));
    const range = { after, upTo, limit: 25 };
    const walked = await select.keysOf(pickKeys(shape, base, range));
    expect(walked).toHaveLength(25);
    expect(await select.keysOf(pickKeys(shape, base, { ...range, isGathered: true }))).toEqual(walked);
  }
  const { shape, base } = await select.prepare(db('properties').where('kind', 'dated'));
  const range = { after: null, upTo: await select.stopKey(base), limit: 25 };
  const planOf = async (isGathered: boolean): Promise<string> => {
    const statement = pickKeys(shape, base, { ...range, isGathered });
    const rows = await select.run({ ...statement, text: `explain ${statement.text}` });
    return rows.map((row) => row['QUERY PLAN']).join('\n');
  };
  expect(await planOf(false)).toMatch(/Index Scan using properties_pkey/);
  expect(await planOf(true)).toMatch(/Seq Scan on properties/);
});
