import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { summary } from '../../src/commands/run/summary.ts';
import { Selects } from '../support/selects.ts';

/** What an update does to its own base table besides changing the rows that it was given. */

let selects: Selects;

beforeAll(async () => {
  selects = await Selects.create();
});

beforeEach(async () => {
  await selects.client.query(`
    drop schema if exists umzug_cluster cascade;
    drop table if exists items cascade; drop function if exists copy_item;
    create table items (
      id uuid primary key default gen_random_uuid(), no int not null unique, name text not null, kind text not null default 'mixed',
      parent int, first boolean, copy_of uuid);
    insert into items (no, name, parent)
      select i, 'item ' || i % 40, nullif(i / 10, 0) from generate_series(1, 400) as i;
    analyze items`);
});

afterAll(async () => {
  await selects.drop();
});

const head = `import { setBased, updateRows } from 'umzug-cluster';
  export const options = { chunkSize: 50 };`;

/** Runs one migration; resolves with the error's message, or null. */
async function failure(source: string): Promise<string | null> {
  return await selects.run([`${head} ${source}`]).then(
    () => null,
    (error: unknown) => (error as Error).message,
  );
}

async function one(sql: string): Promise<unknown> {
  return (await selects.client.query({ text: sql, rowMode: 'array' })).rows.flat()[0];
}

const mixed = `export const select = (db) => db('items').select('id', 'name').where('kind', 'mixed');`;
const copies = (more: string): string =>
  `db('items').insert(rows.map(({ id, name }, at) => ({ no: db.raw('(select max(no) from items) + ?', [at + 1]), name${more} })))`;
const renameBySets = `export const update = setBased((chunk) => chunk.update({ name: 'other' }));`;
const copyTrigger = `
  create function copy_item() returns trigger language plpgsql as $$ begin
    insert into items (no, name) select max(no) + 1, new.name from items; return null; end $$;
  create trigger copy_item after update on items for each row when (new.no <= 400) execute function copy_item()`;

describe('rows that an update inserts into its own table', () => {
  it.each([
    ['by rows', `${mixed} export const update = (db, rows) => ${copies('')};`, ''],
    [
      'by rows, which it changes as well',
      `${mixed} export const update = async (db, rows) => {
         await ${copies('')};
         await db('items').whereIn('id', rows.map(({ id }) => id)).update({ kind: 'split' }); };`,
      '',
    ],
    [
      'by a trigger',
      `${mixed} ${renameBySets.replace('name', 'first').replace("'other'", 'true')}`,
      copyTrigger,
    ],
    [
      'with ascending keys, behind the last one',
      `export const options = { key: ['no'], chunkSize: 50 }; ${mixed.replace("'id'", "'id', 'no'")}
       export const update = (db, rows) => ${copies('')};`,
      '',
    ],
    [
      'over a join',
      `export const select = (db) => db('items as i').join('items as p', 'p.no', 'i.parent').select('i.id', 'i.name');
       export const update = (db, rows) => ${copies(', parent: 1')};`,
      '',
    ],
  ])('are refused where they match select: %s', async (_what, source, schema) => {
    await selects.client.query(schema);
    const text = source.includes('options') ? source.replace(/export const options[^;]*;/, '') : source;
    const keyed = source.includes("key: ['no']") ? "options.key = ['no'];" : '';
    expect(await failure(`${keyed} ${text}`)).toMatch(
      /update inserts 5\d rows that match select into its own table "items"|inserts [1-9]\d* rows that match/,
    );
    expect(await one('select count(*)::int from items')).toBe(400);
  });

  it.each([
    ['do not match', copies(", kind: 'copy'"), 800],
    [
      'find their like there',
      copies('')
        .replace(/\)$/, ").onConflict('no').ignore()")
        .replace("db.raw('(select max(no) from items) + ?', [at + 1])", '1'),
      400,
    ],
  ])('are fine where they %s', async (_what, update, rows) => {
    expect(await failure(`${mixed} export const update = (db, rows) => ${update};`)).toBeNull();
    expect(await one('select count(*)::int from items')).toBe(rows);
  });
});

const rename = `export const update = (db, rows) =>
  updateRows(db, 'items', rows.map(({ id }) => ({ id, name: 'new ' + id })), { key: ['id'], set: ['name'] });`;
const first = `export const update = setBased((chunk) => chunk.update({ first: true }));`;

describe('what select reads of other rows', () => {
  it.each([
    [
      'in a window of a CTE',
      `export const select = (db) => db('items').with('numbered', db('items').select('id', db.raw('row_number() over (partition by name order by id) as no')))
         .join('numbered', 'numbered.id', 'items.id').where('numbered.no', '>', 1).select('items.id', 'items.name', 'numbered.no as place'); ${rename}`,
      'name',
    ],
    [
      'in a window of a raw select',
      `export const select = (db) => db.raw('select i.id, n.place from items i join (select id, rank() over (order by name) as place from items) n using (id)'); ${rename}`,
      'name',
    ],
    [
      'in an aggregate',
      `export const select = (db) => db('items').where('name', '<', db('items').max('name')); ${rename}`,
      'name',
    ],
    [
      'in an aggregate of the columns',
      `export const select = (db) => db('items as i').select('id', db.raw('(select count(*) from items j where j.name = i.name) as likes')); ${rename}`,
      'name',
    ],
    [
      'in not exists',
      `export const select = (db) => db('items as i').whereNotExists(db('items as j').whereRaw('j.name = i.name and j.first')); ${first}`,
      'first',
    ],
    [
      'in a join with itself',
      `export const select = (db) => db('items as i').join('items as p', 'p.no', 'i.parent').select('i.id', 'p.name as above');
       export const update = (db, rows) => updateRows(db, 'items', rows.map(({ id, above }) => ({ id, name: above })), { key: ['id'], set: ['name'] });`,
      'name',
    ],
  ])('must not be what update changes: %s', async (_what, source, column) => {
    expect(await failure(source)).toContain(
      `update changes "${column}" of "items", which select also reads from other rows`,
    );
    expect(await one(`select count(*)::int from items where name like 'new%' or first`)).toBe(0);
  });

  it.each([
    [
      'another column, in a window',
      `export const select = (db) => db('items').with('numbered', db('items').select('id', db.raw('row_number() over (partition by name order by no) as place')))
         .join('numbered', 'numbered.id', 'items.id').where('numbered.place', 1).select('items.id'); ${first}`,
      40,
    ],
    [
      'another column, in not exists',
      `export const select = (db) => db('items as i').whereNull('i.first').whereNotExists(db('items as j').whereRaw('j.name = i.name and j.no < i.no')); ${first}`,
      40,
    ],
    [
      'the row itself, in a CTE',
      `export const select = (db) => db('items').with('todo', db('items').select('id').whereNull('first')).join('todo', 'todo.id', 'items.id').select('items.id'); ${first}`,
      400,
    ],
    [
      'the row itself, in a CTE that is stored',
      `export const select = (db) => db.raw('with todo as materialized (select id from items where first is null) select items.id from items join todo on todo.id = items.id');
       export const update = (db, rows) => db('items').whereIn('id', rows.map(({ id }) => id)).update({ first: true });`,
      400,
    ],
    [
      'the row itself, in a subquery',
      `export const select = (db) => db('items').whereIn('id', db('items').select('id').whereNull('first')); ${first}`,
      400,
    ],
  ])('may be %s', async (_what, source, rows) => {
    expect(await failure(source)).toBeNull();
    expect(await one('select count(*)::int from items where first')).toBe(rows);
  });
});

describe('an update that changes nothing', () => {
  const lower = `export const update = (db, rows) =>
    updateRows(db, 'items', rows.map(({ name }) => ({ name: name.toUpperCase(), kind: 'done' })), { key: ['name'], set: ['kind'] });`;
  const once = `export const select = (db) => db('items').select('id', 'no', 'name').where('no', '<=', 40);`;
  const keep = `create function copy_item() returns trigger language plpgsql as $$ begin return null; end $$;
    create trigger keep before update on items for each row execute function copy_item()`;

  it.each([
    ['values of the key that are not there', lower, ''],
    ['a trigger that keeps rows as they are', lower.replace('.toUpperCase()', ''), keep],
  ])('is an error of updateRows: %s', async (_what, update, schema) => {
    await selects.client.query(schema);
    expect(await failure(`${once} ${update}`)).toMatch(
      /updateRows: none of the \d+ rows? changed a row of "items"/,
    );
  });

  it('may be expected, and is told with both numbers', async () => {
    const { outcomes, warnings } = await selects.outcomes([
      `${head} ${once} ${lower.replace("set: ['kind']", "set: ['kind'], allowMissing: true")}`,
      `${head} ${once} export const update = setBased((chunk) => chunk.where('no', -1).update({ first: true }));`,
      `${head} ${once} export const update = (db, rows) => db.raw('select 1');`,
      `${head} ${once} export const update = (db, rows) => db('items').whereIn('id', rows.map(({ id }) => id)).update({ first: true });`,
      `${head} ${once} export const update = (db, rows) => db.raw('with w as (update items set first = false where id = any (?) returning 1) select 1', [rows.map(({ id }) => id)]);`,
    ]);
    expect(outcomes.map(({ rows, changed }) => [rows, changed])).toEqual([
      [40, 0],
      [0, 0],
      [40, 0],
      [40, 40],
      [40, 40],
    ]);
    expect(warnings).toEqual([
      'm0000: 40 rows passed to update, 0 changed in any table',
      'm0002: 40 rows passed to update, 0 changed in any table',
    ]);
    expect(summary(outcomes[0] as never)).toMatch(/^m0000: 40 rows passed, 0 changed, in 1 chunk/);
  });
});
