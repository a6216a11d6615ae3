import { beforeEach, describe, expect, it } from 'vitest';
import { appDatabase } from '../support/app-schema.ts';
import { runHere } from '../support/visits.ts';

/** What an author may do with the chunk of a set-based migration, and what becomes of its rows. */

const database = appDatabase();

const rows = 30;

beforeEach(async () => {
  await database.client.query(`
    create table rates (id bigint primary key, factor int not null);
    insert into rates values (1, 10), (2, 100);
    create table t (id bigint primary key, part int not null, n int not null, rate_id bigint, at timestamptz);
    insert into t select i, i % 3, i, case when i % 2 = 0 then 1 end from generate_series(1, ${rows}) as i;
    create table child (id bigint primary key, t_id bigint not null, n int not null default 0);
    insert into child select i, 1 + i % ${rows}, 0 from generate_series(1, 4 * ${rows}) as i;
    create table out (id bigint, n int, by text);
    create table log (what text);
    create function touch() returns trigger language plpgsql as
      $$ begin new.at := now(); return new; end $$;
    create function move() returns trigger language plpgsql as
      $$ begin new.id := new.id + 1000; return new; end $$;
    create function add_one(ids bigint[]) returns void language sql as
      'update app.t set n = n + 1 where id = any (ids)';
    create function log_one() returns void language sql as 'insert into app.log values (1)'`);
});

interface Made {
  readonly select?: string;
  readonly options?: object;
}

async function migrated(
  update: string,
  { select = `db('app.t').where('part', 0)`, options = {} }: Made = {},
): Promise<number> {
  const source = `
    import { setBased } from 'umzug-cluster';
    export const options = ${JSON.stringify(options)};
    export const select = (db) => ${select};
    export const update = setBased(async (chunk, db) => { ${update} });`;
  return await runHere(database.url, () => source, { lanes: 1, settings: { chunkSize: 16 } });
}

async function read(sql: string): Promise<unknown[][]> {
  return (await database.client.query({ text: sql, rowMode: 'array' })).rows as unknown[][];
}

async function readColumn(sql: string): Promise<unknown[]> {
  return (await read(sql)).map(([value]) => value);
}

const copied = Array.from({ length: rows / 3 }, (_, index) => [String(3 * index + 3), 2 * (3 * index + 3)]);
const doubled = { select: `db('app.t').where('part', 0).select('id', db.raw('n * 2 as n'))` };
const joined = {
  select: `db('app.t as t').join('app.rates as r', 'r.id', 't.rate_id').select('t.id', db.raw('t.n * r.factor as n'))`,
};

describe("the chunk is the author's query, with its columns and joins", () => {
  it.each([
    ['insert from a query of it', `await db('app.out').insert(db.select('id', 'n').from(chunk.as('c')));`],
    ['insert it', `await db(db.raw('app.out (id, n)')).insert(chunk);`],
    ['insert … select', `await db.raw('insert into app.out (id, n) select id, n from ? c', [chunk]);`],
    [
      'a CTE',
      `await db.with('c', chunk).insert(db.select('id', 'n').from('c')).into(db.raw('app.out (id, n)'));`,
    ],
    [
      'a copy that is narrowed and widened again',
      `await db.raw('insert into app.out (id, n) select id, n from ? c', [chunk.clone().where('n', '>', 0).orWhere('n', 1)]);`,
    ],
  ])('%s', async (_how, update) => {
    expect(await migrated(update, doubled)).toBe(copied.length);
    expect(await read('select id, n from app.out order by id')).toEqual(copied);
  });

  it('reads columns of a join', async () => {
    await migrated(`await db.raw('insert into app.out (id, n) select id, n from ? c', [chunk]);`, joined);
    expect(await readColumn('select n / id from app.out')).toEqual(
      Array.from({ length: rows / 2 }, () => '10'),
    );
  });

  it.each([
    ['update … from', `await db.raw('update app.t set n = c.n from ? c where t.id = c.id', [chunk]);`],
    ['its own update', `await chunk.update({ n: db.raw('t.n * r.factor') });`],
    [
      'its own update, narrowed',
      `await chunk.where('r.factor', 10).update({ n: db.raw('t.n * "r"."factor"') });`,
    ],
  ])('updates the base table by columns of a join: %s', async (_how, update) => {
    expect(await migrated(update, joined)).toBe(rows / 2);
    expect(await read('select id % 2 = 0, n / id from app.t group by 1, 2 order by 1')).toEqual([
      [false, '1'],
      [true, '10'],
    ]);
  });

  it.each([
    ['an outer join', `.leftJoin('app.rates as r', 'r.id', 't.rate_id')`],
    ['one by an object', `.leftJoin({ r: 'app.rates' }, 'r.id', 't.rate_id')`],
    [
      'a query',
      `.leftJoin(db('app.rates').select('id', db.raw('factor * 1 as factor')).as('r'), 'r.id', 't.rate_id')`,
    ],
    ['a CTE', `.with('r', db('app.rates').where('id', 1)).leftJoin('r', 'r.id', 't.rate_id')`],
  ])('updates by columns of %s', async (_what, join) => {
    await migrated(`await chunk.update({ n: db.raw('coalesce(r.factor, -1)') });`, {
      select: `db('app.t as t')${join}`,
    });
    expect(await read('select n, count(*)::int from app.t group by n order by n')).toEqual([
      [-1, rows / 2],
      [10, rows / 2],
    ]);
  });

  it('leaves names without a table to the base table where nothing of the join is named', async () => {
    await migrated(`await chunk.update({ n: db.raw('id * 7') });`, joined);
    expect(await readColumn('select count(*)::int from app.t where n = id * 7')).toEqual([rows / 2]);
  });

  it('is part of the condition of another query', async () => {
    const parents = { select: `db('app.t').where('part', 0).select('id')` };
    expect(
      await migrated(`await db('app.child').whereIn('t_id', chunk).update({ n: db.raw('n + 1') });`, parents),
    ).toBe(rows / 3);
    expect(
      await read('select t_id % 3 = 0, n, count(*)::int from app.child group by 1, 2 order by 1'),
    ).toEqual([
      [false, 0, (8 * rows) / 3],
      [true, 1, (4 * rows) / 3],
    ]);
  });

  it('refuses a join that makes more rows of one, where they would be told apart', async () => {
    const multiplied = {
      select: `db('app.t as t').join('app.child as c', 'c.t_id', 't.id').select('t.id', 'c.n')`,
    };
    for (const update of [
      `await db.raw('insert into app.out (id, n) select id, n from ? c', [chunk]);`,
      `await chunk.update({ n: db.raw('c.n') });`,
    ]) {
      await expect(migrated(update, multiplied)).rejects.toThrow(
        /select returns 16 rows of the base table more than once/,
      );
    }
  });
});

describe('nothing that is called on the chunk leads out of it', () => {
  it('an update, whatever is called before', async () => {
    const more = `update({ n: db.raw('n + 100') });`;
    const updates = [
      `chunk.clone().orWhere('n', '>', 0).${more}`,
      `chunk.clone().orWhereNotNull('id').${more}`,
      `chunk.clone().clearWhere().${more}`,
      `chunk.clone().clear('where').orWhereRaw('true').${more}`,
      `chunk.clone().clearWhere().clone().where('n', '>', 0).${more}`,
      `chunk.clone().modify((query) => query.clearWhere().orWhere('n', '>', 0)).${more}`,
      `db('app.t').whereIn('id', chunk.clone().clearWhere().clearSelect().select('id')).${more}`,
      `db.raw('update app.t set n = t.n + 100 from ? c where c.id = t.id', [chunk.clone().orWhereRaw('true')]);`,
    ];
    expect(await migrated(updates.map((one) => `await ${one}`).join('\n'))).toBe(rows / 3);
    expect(await read('select n - id, part, count(*)::int from app.t group by 1, 2 order by 1, 2')).toEqual([
      ['0', 1, rows / 3],
      ['0', 2, rows / 3],
      [String(updates.length * 100), 0, rows / 3],
    ]);
  });

  it('deletes rows of the chunk alone', async () => {
    expect(
      await migrated(`await chunk.orWhere('n', '>', 0).del();`, { options: { allowDelete: true } }),
    ).toBe(rows / 3);
    expect(await read('select part, count(*)::int from app.t group by part order by part')).toEqual([
      [1, rows / 3],
      [2, rows / 3],
    ]);
  });

  it.each([
    ['chunk.truncate', `await chunk.truncate();`],
    ['chunk.insert', `await chunk.insert({ id: 1000, part: 1, n: 1 });`],
    ['the table of chunk', `await chunk.from('app.child').update({ n: 1 });`],
    ['the table of chunk', `await chunk.withSchema('public').update({ n: 1 });`],
    [
      'chunk.truncate',
      `await chunk.truncate().catch(() => undefined); await chunk.clone().update({ n: 1 });`,
    ],
  ])('refuses %s: %s', async (what, update) => {
    await expect(migrated(update)).rejects.toThrow(what);
    expect(await readColumn('select count(*)::int from app.t where n = id')).toEqual([rows]);
  });
});

const before = (name: string): string =>
  `create trigger ${name} before update on app.t for each row execute function app.${name}()`;

describe('a key that a chunk moves or deletes is found', () => {
  it.each([
    ['by its own update', `await chunk.update({ id: db.raw('id + 1000') });`],
    ['by that of a copy', `await chunk.clone().update({ id: db.raw('id + 1000') });`],
    ['by increment', `await chunk.increment('id', 1000);`],
    ['by delete', `await chunk.del();`],
    [
      'by a builder',
      `await db('app.t').whereIn('id', chunk.clearSelect().select('id')).update({ id: db.raw('id + 1000') });`,
    ],
    ['by text', `await db.raw('update app.t set id = t.id + 1000 from ? c where t.id = c.id', [chunk]);`],
    [
      'by text behind an update after which the rows do not match',
      `await chunk.update({ part: 7 }); await db.raw('update app.t set id = id + 1000 where part = 7');`,
    ],
    ['by a trigger', `await chunk.update({ n: 1 });`, before('move')],
    [
      'in a savepoint that is gone back to, and again',
      `const undo = () => { throw new Error('undone'); };
       await db.transaction((trx) => trx.raw('update app.t set id = id + 1000 where part = 0').then(undo)).catch(() => undefined);
       await db.raw('update app.t set id = t.id + 1000 from ? c where t.id = c.id', [chunk]);`,
    ],
  ])('%s', async (_how, update, sql = '') => {
    await database.client.query(sql);
    await expect(migrated(update)).rejects.toThrow(/moved or deleted/);
    expect(await readColumn('select count(*)::int from app.t where n = id')).toEqual([rows]);
  });

  it.each([
    ['by its own update', `await chunk.update({ region: 'eu' });`],
    [
      'by text',
      `await db.raw("update app.people set region = 'eu' from ? c where people.id = c.id", [chunk]);`,
    ],
  ])('unless options.allowDelete lets it, to another partition: %s', async (_how, update) => {
    await database.client.query(`
      create table people (id bigint, region text, primary key (id, region)) partition by list (region);
      create table people_eu partition of people for values in ('eu');
      create table people_rest partition of people default;
      insert into people select i, 'zz' from generate_series(1, ${rows}) as i`);
    const made = { select: `db('app.people').where('region', 'zz')`, options: { allowDelete: true } };
    expect(await migrated(update, made)).toBe(rows);
    expect(await readColumn('select count(*)::int from app.people_eu')).toEqual([rows]);
  });
});

describe('the rows of a chunk are counted, whatever its statements return', () => {
  const plain = `await chunk.update({ n: db.raw('n + 1') });`;
  const ids = `chunk.clearSelect().select('id')`;
  const inCte = (outer: string): string => `
    await db.raw('with done as (? returning id) ${outer}',
      [db('app.t').whereIn('id', ${ids}).update({ n: db.raw('n + 1') })]);`;
  it.each([
    ['one update', plain],
    ['two', `await chunk.clone().update({ at: db.fn.now() }); ${plain}`],
    [
      'two of a part each',
      `await chunk.clone().where('n', '<', 15).update({ n: db.raw('n + 1') });
       await chunk.where('n', '>=', 15).update({ n: db.raw('n + 1') });`,
    ],
    [
      'two, and the rows do not match any more',
      `await chunk.clone().update({ part: 7, n: db.raw('n + 1') }); await db('app.log').insert({ what: 1 });`,
    ],
    ['a value returned', `${plain} return 7;`],
    ['a query before', `await db.raw('select generate_series(1, 1000)'); ${plain}`],
    ['a query behind', `${plain} await db('app.rates').select();`],
    ['a log', `${plain} await db('app.log').insert({ what: 'done' });`],
    ['a CTE', inCte('select count(*)::int from done')],
    ['a CTE of an insert', inCte('insert into app.log select count(*)::text from done')],
    ['a function', `await db.raw('select app.add_one(?::bigint[])', [db.raw('array(?)', [${ids}])]);`],
    ['a trigger', plain, before('touch')],
    [
      'its children',
      `await chunk.clone().update({ n: db.raw('n + 1') }); await db.raw('update app.child set n = 1 where t_id in ?', [${ids}]);`,
    ],
  ])('%s', async (_how, update, sql = '') => {
    await database.client.query(sql);
    expect(await migrated(update)).toBe(rows / 3);
    expect(await readColumn('select count(*)::int from app.t where n = id + 1')).toEqual([rows / 3]);
  });
});

describe('the rows that a chunk deletes are counted once', () => {
  const add = `.update({ n: db.raw('n + 1') })`;
  const skipOdd = `
    create function app.keep_odd() returns trigger language plpgsql as
      $$ begin return case when old.n % 2 = 0 then old end; end $$;
    create trigger keep_odd before delete on app.t for each row execute function app.keep_odd()`;
  it.each([
    ['all at once', `await chunk.del();`],
    ['in parts', `await chunk.clone().where('n', '<', 15).del(); await chunk.where('n', '>=', 15).del();`],
    ['after an update', `await chunk.clone()${add}; await chunk.del();`],
    [
      'and others are updated',
      `await chunk.clone().where('n', '<', 15)${add}; await chunk.where('n', '>=', 15).del();`,
      '',
      4,
    ],
    [
      'and others are updated by text',
      `await chunk.clone().where('n', '<', 15).del();
       await db.raw('update app.t set n = n + 1 where id in ?', [chunk.clearSelect().select('id')]);`,
      '',
      6,
    ],
    ['with a join', `await chunk.clone().leftJoin('app.rates as r', 'r.id', 't.rate_id').del();`],
    ['and a trigger keeps some', `await chunk.del();`, skipOdd, rows / 6],
  ])('%s', async (_how, update, sql = '', left = 0) => {
    await database.client.query(sql);
    expect(await migrated(update, { options: { allowDelete: true } })).toBe(rows / 3);
    expect(await readColumn('select count(*)::int from app.t where part = 0')).toEqual([left]);
  });

  it('unless nothing allows it: then no row is deleted', async () => {
    await expect(migrated(`await chunk.del();`)).rejects.toThrow(/moved or deleted 5 of its rows/);
    expect(await readColumn('select count(*)::int from app.t')).toEqual([rows]);
  });
});

describe('a set-based update that only reads', () => {
  it.each([
    ['the chunk', `await chunk;`],
    ['something else', `await db.raw('select 1');`],
    ['in a savepoint', `await db.transaction((trx) => trx('app.rates').first());`],
  ])('is refused: %s', async (_what, update) => {
    await expect(migrated(update)).rejects.toThrow(/only read/);
  });

  it('may be one that calls a function which writes, or be allowed', async () => {
    expect(await migrated(`await db.raw('select app.log_one()');`)).toBe(rows / 3);
    expect(await migrated(`await chunk;`, { options: { allowNoQueries: true } })).toBe(rows / 3);
  });
});
