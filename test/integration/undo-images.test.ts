import { beforeEach, describe, expect, it } from 'vitest';
import { appDatabase, styles } from '../support/app-schema.ts';
import { imagesOf, restore, snapshot } from '../support/image-rows.ts';
import { valueTypes, valueTypesSql } from '../support/value-types.ts';
import { runHere } from '../support/visits.ts';

const database = appDatabase();

const table = `create table t (id int primary key, a text, b int, c timestamptz default now(), big text, twice int generated always as (b * 2) stored);
  insert into t (id, a, b, big) select i, 'a' || i, i, repeat(md5(i::text), 100) from generate_series(1, 60) as i`;

const undo = (
  rest = '',
): string => `import { setBased, updateRows, insertRows, deleteRows } from 'umzug-cluster';
  export const options = { undo: true, chunkSize: 20${rest} };`;

const select = `export const select = (db) => db('t').select('id', 'b');`;

/** Runs a migration with undo. */
async function up(source: string, trial: Parameters<typeof runHere>[2] = {}): Promise<number> {
  return await runHere(database.url, (hook) => source.replaceAll('HOOK', hook), trial);
}

/** One of the three values of a type, in SQL. */
function nth({ name, values: [one, two, three] }: (typeof valueTypes)[number], no: string): string {
  return `(case ${no} when 1 then (${one})::${name} when 2 then (${two})::${name} else (${three})::${name} end)`;
}

beforeEach(async () => {
  // For whoever connects from now on: the migrations name their tables without a schema.
  await database.client.query(`
    do $$ begin execute format('alter database %I set search_path = app, public', current_database()); end $$`);
  await database.client.query(table);
});

// Ways to write an update, and the columns that its images have.
const ways: readonly (readonly [what: string, update: string, columns: readonly string[]])[] = [
  [
    'an update of knex',
    `(db, rows) => db('t').whereIn('id', rows.map(({ id }) => id)).update({ a: 'new', b: db.raw('b + 1') })`,
    ['a,b'],
  ],
  [
    'updateRows',
    `(db, rows) => updateRows(db, 't', rows.map(({ id, b }) => ({ id, a: 'new' + b })), { key: ['id'], set: ['a'] })`,
    ['a'],
  ],
  [
    'SQL of its own',
    `(db, rows) => db.raw("update t set a = case when id % 2 = 0 then 'new' else a end, b = nullif(nullif(b, 7), 8) where id = any (?)", [rows.map(({ id }) => id)])`,
    ['a', 'a,b', 'b'],
  ],
  [
    'several statements',
    `async (db, rows) => {
      const ids = rows.map(({ id }) => id);
      await db('t').whereIn('id', ids).update({ a: 'first' });
      await db.raw("update t set a = 'second', c = null where id = any (?)", [ids]);
      await db('t').whereIn('id', ids).update({ b: null });
    }`,
    ['a', 'a,b,c'],
  ],
  [
    'statements at a time, under settings of its own',
    `async (db, rows) => {
      await db.raw("set local timezone to 'America/St_Johns'");
      await db.raw("set local datestyle to 'German'");
      await Promise.all(rows.map(({ id }) => db('t').where({ id }).update({ c: db.raw("c + interval '1 day'") })));
    }`,
    ['c'],
  ],
  [
    'a savepoint that is rolled back',
    `async (db, rows) => {
      const ids = rows.map(({ id }) => id);
      await db.transaction(async (trx) => {
        await trx.raw("update t set a = 'lost' where id = any (?)", [ids]);
        throw new Error('back');
      }).catch(() => undefined);
      await db.raw('update t set b = -b where id = any (?)', [ids]);
    }`,
    ['b'],
  ],
  ['a set', `setBased((chunk) => chunk.update({ a: 'new' }))`, ['a']],
  [
    'a set with SQL of its own',
    `setBased((chunk, db) => db.raw("update t set a = 'new', b = null where id in (?)", [chunk.clone().clearSelect().select('id')]))`,
    ['a,b'],
  ],
];

describe('images of a run with undo', () => {
  it.each(ways)('have what rows held before %s, to the last value', async (_what, update, columns) => {
    const { client } = database;
    const before = await snapshot(client, 't');
    await up(`${undo()} ${select} export const update = ${update};`);
    const images = await imagesOf(client);
    expect([...new Set(images.map(({ names }) => names.join(',')))].toSorted()).toEqual(columns);
    expect(await snapshot(client, 't')).not.toEqual(before);
    await restore(client, 't');
    expect(await snapshot(client, 't')).toEqual(before);
  });

  it.each([true, false])('have what each type of value was: named: %s', async (isNamed) => {
    const { client } = database;
    const columns = valueTypes.map((type, no) => ({ type, column: `c${no}`, other: `d${no}` }));
    await client.query(`${valueTypesSql('app')}
      create table typed (id int primary key, ${columns.map(({ type, column, other }) => `${column} ${type.name}, ${other} ${type.name}`).join(', ')});
      insert into typed select no, ${columns.map(({ type }) => `${nth(type, 'no')}, ${nth(type, 'no % 3 + 1')}`).join(', ')}
      from generate_series(1, 3) as no`);
    const before = await snapshot(client, 'typed');
    const sets = columns.map(({ column, other }) => `${column} = ${other}`).join(', ');
    const named = columns.map(({ column, other }) => `${column}: db.ref('${other}')`).join(', ');
    await up(`${undo()} export const select = (db) => db('typed').select('id');
      export const update = (db, rows) => ${isNamed ? `db('typed').whereIn('id', rows.map(({ id }) => id)).update({ ${named} })` : `db.raw('update typed set ${sets} where id = any (?)', [rows.map(({ id }) => id)])`};`);
    expect(await snapshot(client, 'typed')).not.toEqual(before);
    await restore(client, 'typed');
    expect(await snapshot(client, 'typed')).toEqual(before);
  });

  it.each([
    ['of two columns', 'a text, b uuid default gen_random_uuid(), n int default 0, primary key (a, b)', ''],
    ['of a number with a scale', 'a numeric(20, 4) primary key, n int default 0', ''],
    ['of a partitioned table', 'a text primary key, n int default 0', 'partition by hash (a)'],
  ])('find rows by a key %s, by rows and by sets', async (_which, columns, partition) => {
    const { client } = database;
    await client.query(`create table k (${columns}) ${partition}`);
    if (partition !== '') {
      await client.query(`create table k0 partition of k for values with (modulus 2, remainder 0);
        create table k1 partition of k for values with (modulus 2, remainder 1)`);
    }
    const value = columns.startsWith('a text') ? 'no::text' : 'no';
    await client.query(`insert into k (a) select ${value} from generate_series(1, 30) as no`);
    const before = await snapshot(client, 'k');
    const update = {
      sets: `setBased((chunk, db) => chunk.update({ n: db.raw('n + 1') }))`,
      rows: `(db, rows) => db.raw('update k set n = n + 1 where a::text = any (?)', [rows.map(({ a }) => a)])`,
    };
    for (const style of styles) {
      await up(
        `${undo()} export const select = (db) => db('k').select('a'); export const update = ${update[style]};`,
      );
    }
    await restore(client, 'k');
    expect(await snapshot(client, 'k')).toEqual(before);
  });

  it('are right for rows that are visited by place, and swept', async () => {
    const { client } = database;
    const before = await snapshot(client, 't');
    await up(`${undo(`, order: 'physical'`)} export const select = (db) => db('t').whereNot('a', 'new').select('id');
      export const update = setBased((chunk) => chunk.update({ a: 'new' }));`);
    await restore(client, 't');
    expect(await snapshot(client, 't')).toEqual(before);
  });

  it.each([
    ['deleteRows', `(db, rows) => deleteRows(db, 't', rows.filter(({ b }) => b % 2 === 0), { key: ['id'] })`],
    ['a set', `setBased((chunk) => chunk.where('b', '<', 15).delete())`],
  ])('have whole rows that %s has deleted', async (_what, update) => {
    const { client } = database;
    const before = await snapshot(client, 't');
    await up(
      `${undo(', allowDelete: true, allowNoQueries: true')} ${select} export const update = ${update};`,
    );
    expect((await imagesOf(client)).every(({ kind }) => kind === 'delete')).toBe(true);
    await restore(client, 't');
    expect(await snapshot(client, 't')).toEqual(before);
  });

  it('leave out columns that only a trigger has written, where the statement names its own', async () => {
    const { client } = database;
    await client.query(`create function touch() returns trigger language plpgsql as
        $$ begin new.c := '2001-01-01'; return new; end $$;
      create trigger touch before update on t for each row execute function touch()`);
    await up(
      `${undo()} ${select} export const update = (db, rows) => db('t').whereIn('id', rows.map(({ id }) => id)).update({ a: 'new' });`,
    );
    const images = await imagesOf(client);
    expect(new Set(images.map(({ names }) => names.join(',')))).toEqual(new Set(['a']));
  });

  it('are those of all statements where a trigger follows an update', async () => {
    const { client } = database;
    const before = await snapshot(client, 't');
    await client.query(`create function again() returns trigger language plpgsql as
        $$ begin update t set a = new.a || '!' where id = new.id and a not like '%!'; return null; end $$;
      create trigger again after update on t for each row execute function again()`);
    await up(
      `${undo()} ${select} export const update = (db, rows) => db('t').whereIn('id', rows.map(({ id }) => id)).update({ a: 'new' });`,
    );
    expect(new Set((await imagesOf(client)).map(({ after }) => after?.[0]))).toEqual(new Set(['new!']));
    await client.query('drop trigger again on t');
    await restore(client, 't');
    expect(await snapshot(client, 't')).toEqual(before);
  });

  it.each(styles)('are committed with their chunk or not at all, by %s', async (style) => {
    const { client } = database;
    const before = await snapshot(client, 't');
    const update =
      style === 'sets'
        ? `setBased(async (chunk) => { await chunk.update({ a: 'new' }); globalThis.HOOK?.(); })`
        : `async (db, rows) => { await db.raw("update t set a = 'new' where id = any (?)", [rows.map(({ id }) => id)]); globalThis.HOOK?.(); }`;
    await up(`${undo()} ${select} export const update = ${update};`, { abortedAfter: [1, 2] });
    const images = await imagesOf(client);
    expect(images.map(({ key }) => Number(key[0])).toSorted((one, other) => one - other)).toEqual(
      Array.from({ length: 60 }, (_, no) => no + 1),
    );
    await restore(client, 't');
    expect(await snapshot(client, 't')).toEqual(before);
  });

  it.each([
    ['', '{}', 4],
    ['that returns them', `{ returning: ['id'] }`, 4],
    ['that passes over what is there', `{ onConflict: 'ignore', returning: ['id', 'note'] }`, 3],
    ['that updates what is there', `{ onConflict: { merge: ['note'] } }`, 3],
  ])('have the keys and values of rows of insertRows %s', async (_which, options, inserted) => {
    const { client } = database;
    const isThere = inserted === 3;
    await client.query(`create table other (id int primary key, note text, extra int default 7, at timestamptz);
      insert into other select 2, 'there' where ${isThere}`);
    await up(`${undo()} export const select = (db) => db('t').where('id', '<', 5).select('id');
      export const update = async (db, rows) => {
        const made = await insertRows(db, 'other', rows.map(({ id }) => ({ id, note: 'made ' + id, at: new Date(0) })), ${options});
        if (Array.isArray(made) ? made.length < 3 || made[0].id !== 1 : made !== 4) throw new Error('returned ' + JSON.stringify(made));
      };`);
    const all = await imagesOf(client);
    const images = all.filter(({ kind }) => kind === 'insert');
    expect(images.map(({ relation }) => relation)).toEqual(images.map(() => ['app', 'other', 'id']));
    const found = images.map(({ key, names, after }) => `${key[0]}: ${names.join(',')}: ${after?.[1]}`);
    const expected = ['1', '2', '3', '4'].filter((id) => !isThere || id !== '2');
    expect(new Set(found)).toEqual(new Set(expected.map((id) => `${id}: id,note,extra,at: made ${id}`)));
    const merged = all.filter(({ kind }) => kind === 'update');
    expect(merged.map(({ before, after }) => [before, after])).toEqual(
      options.includes('merge:') ? [[['there'], ['made 2']]] : [],
    );
    expect((await client.query('select count(*)::int as n from other')).rows[0].n).toBe(4);
  });

  it('are in a partition of their run, and there is none without undo', async () => {
    const { client } = database;
    const update = `export const update = setBased((chunk) => chunk.update({ a: 'new' }));`;
    await up(`${undo().replace('undo: true', 'undo: false')} ${select} ${update}`);
    expect(await imagesOf(client)).toEqual([]);
    await up(`${undo().replace('undo: true, ', '')} ${select} ${update.replace('new', 'newer')}`, {
      settings: { undo: true },
    });
    const { rows } = await client.query(
      `select count(*)::int as images, min(tableoid::regclass::text) as partition, min(run_id)::text as id from umzug_cluster.images`,
    );
    expect(rows[0]).toMatchObject({ images: 60, partition: `umzug_cluster.images_${rows[0].id}` });
  });
});

describe('undo refuses', () => {
  it.each([
    [
      'an update of rows that it was not given',
      `(db, rows) => db.raw("update t set a = 'x' where id % 20 = any (?)", [rows.map(({ id }) => id % 20)])`,
      /40 rows of "t" were changed of which undo keeps nothing/,
    ],
    [
      'what a function writes',
      `(db, rows) => db.raw('select write_all()')`,
      /60 rows of "t" were changed of which undo keeps nothing/,
    ],
    [
      'an update of the key',
      `(db, rows) => db('t').whereIn('id', rows.map(({ id }) => id)).update({ id: db.raw('-id') })`,
      /update changes the key "id" of "t", by which undo finds rows again/,
    ],
    [
      'an update of the key in SQL of its own',
      `(db, rows) => db.raw('update t set id = -id where id = any (?)', [rows.map(({ id }) => id)])`,
      /update changes the key "id" of "t", by which undo finds rows again/,
    ],
  ])('%s', async (_what, update, message) => {
    const { client } = database;
    await client.query(
      `create function write_all() returns void language sql as $$ update app.t set a = 'x' $$`,
    );
    const before = await snapshot(client, 't');
    const source = `${undo(', allowDelete: true')} ${select} export const update = ${update};`;
    await expect(up(source)).rejects.toThrow(message);
    expect(await snapshot(client, 't')).toEqual(before);
    expect(await imagesOf(client)).toEqual([]);
  });

  it('options that it does not know', async () => {
    const source = `export const options = { undo: { days: 3 } }; ${select} export const update = () => {};`;
    await expect(up(source)).rejects.toThrow(/options.undo must be true, false or/);
  });
});
