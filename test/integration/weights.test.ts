import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type TestDatabase, createDatabase } from '../support/database.ts';
import { upMeasured } from '../support/measured.ts';

/** Parents whose chunks are bounded by their children: `options.weigh`. */

const most = 100;
const heavy = 5_000;

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  // Orders without lines, light ones, some of 60, of which two are too many, and one that is heavier than any chunk.
  await database.client.query(`
    create table orders (id int primary key, customer text not null default 'x', done int not null default 0);
    create table order_lines (id serial primary key, order_id int not null references orders, n int not null default 0);
    create table visits (chunk text not null, order_id int not null, lines int not null);
    insert into orders (id) select i from generate_series(1, 300) as i;
    insert into order_lines (order_id)
      select i from generate_series(1, 300) as i,
        generate_series(1, case when i = 150 then ${heavy} when i % 20 = 0 then 60 else i % 4 end);
    create index on order_lines (order_id);
    analyze orders, order_lines`);
});

afterAll(async () => {
  await database.drop();
});

beforeEach(async () => {
  await database.client.query(`
    drop schema if exists umzug_cluster cascade; truncate visits; update orders set done = 0; update order_lines set n = 0`);
});

const lines = `(db) => db('order_lines').count().whereColumn('order_lines.order_id', 'orders.id')`;
const byRows = `async (db, rows, { chunk }) => {
  const ids = rows.map(({ id }) => id);
  const found = await db('order_lines').select('id', 'n').whereIn('order_id', ids).orderBy('id').forNoKeyUpdate();
  await updateRows(db, 'order_lines', found.map(({ id, n }) => ({ id, n: n + 1 })), { key: ['id'], set: ['n'], allowMissing: true });
  await db.raw('insert into visits select ?, id, (select count(*) from order_lines where order_id = orders.id) from orders where id = any (?)', [chunk, ids]);
}`;
const bySets = `setBased(async (chunk, db, { chunk: name }) => {
  const ids = chunk.clone().clearSelect().select('orders.id');
  await db('order_lines').whereIn('order_id', ids).update({ n: db.raw('n + 1') });
  await db.raw('insert into visits select ?, id, (select count(*) from order_lines where order_id = orders.id) from orders where id in ?', [name, ids.clone()]);
})`;

const migration = (
  select: string,
  weigh: string,
  update = byRows,
  options = `chunkSize: ${most}`,
): string => `
  import { setBased, updateRows } from 'umzug-cluster';
  export const options = { weigh: ${weigh}, ${options} };
  export const select = (db) => ${select};
  export const update = ${update};`;

async function up(source: string): Promise<void> {
  await upMeasured(database.url, database.client, { table: 'order_lines', source });
}

describe.each([
  ['by a query for each row', `db('orders').select('id')`, lines, byRows],
  [
    'by a column of a select with an aggregate in a subquery',
    `db('orders').select('id', db.raw('(select count(*) from order_lines where order_id = orders.id) as lines'))`,
    `'lines'`,
    byRows,
  ],
  [
    'of a join, by a query',
    `db('orders').join(db.raw('(values (0)) as o (zero)'), 'o.zero', 'orders.done').select('orders.id')`,
    lines,
    byRows,
  ],
  [
    'of a select as it stands, by a column',
    `db.raw('select id, (select count(*) from order_lines where order_id = orders.id) as lines from orders')`,
    `'lines'`,
    byRows,
  ],
  ['set-based, by a query', `db('orders').select('orders.id')`, lines, bySets],
  ['set-based, of few rows that match', `db('orders').where('orders.id', '>', 140)`, lines, bySets],
])('parents, weighed %s', (_what, select, weigh, update) => {
  it('come each once, in chunks that end before they are too heavy', async () => {
    await up(migration(select, weigh, update));
    const { rows: chunks } = await database.client.query<{ parents: number; lines: number; least: number }>(
      `select count(*)::int as parents, sum(greatest(lines, 1))::int as lines from visits group by chunk`,
    );
    const all = select.includes('140') ? 160 : 300;
    const { rows } = await database.client.query(
      `select (select count(*)::int from visits) as visits, (select count(distinct order_id)::int from visits) as orders,
              (select array_agg(distinct n order by n) from order_lines where order_id > 300 - ${all}) as n`,
    );
    expect(rows).toEqual([{ visits: all, orders: all, n: [1] }]);
    expect(
      chunks.filter((chunk) => chunk.lines > most),
      'one is too heavy by itself',
    ).toEqual([{ parents: 1, lines: heavy }]);
    // Two neighbours never fit into one chunk, or it would have been one.
    expect(chunks.length).toBeLessThan((2 * chunks.reduce((sum, chunk) => sum + chunk.lines, 0)) / most);
    expect(chunks.some(({ parents }) => parents > 10)).toBe(true);
  });
});

it('counts weight where the size of chunks adapts, and rows where it is reported', async () => {
  const source = migration(`db('orders').select('id')`, lines, byRows, '');
  const { outcome, log } = await upMeasured(database.url, database.client, { table: 'order_lines', source });
  expect(outcome).toMatchObject({ rows: 300 });
  const chunks = log.filter(({ event }) => event === 'chunk.done');
  expect(chunks.map(({ rows, size }) => [rows, size])).toEqual(chunks.map(({ rows }) => [rows, rows]));
  // Of 1,000 lines the first chunk has 20 heavier orders at most, far from all.
  expect(chunks.length).toBeGreaterThan(2);
});

it('has the arguments of its run', async () => {
  const weigh = `(db, { args }) => db.raw('?::int', [args.each])`;
  const source = migration(
    `db('orders').select('id')`,
    weigh,
    byRows,
    `chunkSize: ${most}, args: { each: { type: 'integer', default: 50 } }`,
  );
  await up(source);
  const { rows } = await database.client.query(
    `select max(n)::int as most, sum(n)::int as all from (select count(*) as n from visits group by chunk) as c`,
  );
  expect(rows).toEqual([{ most: 2, all: 300 }]);
});

it.each([
  ['names no column', `'lines'`, /select returns no column "lines"/],
  [
    'is wrong SQL',
    `(db) => db.raw('select nonsense')`,
    /options.weigh is refused by Postgres: column "nonsense"/,
  ],
  ['is no number', `(db) => db.raw('array[1]')`, /options.weigh is refused by Postgres: cannot cast/],
  ['is awaited', `async (db) => await db('order_lines').count()`, /must return a query for one row/],
  ['throws', `() => { throw new Error('no idea') }`, /it threw: no idea/],
])('refuses a weight that %s, before anything is written', async (_what, weigh, said) => {
  await expect(up(migration(`db('orders').select('id')`, weigh))).rejects.toThrow(said);
  const { rows } = await database.client.query(`select to_regclass('umzug_cluster.runs') as ledger`);
  expect(rows).toEqual([{ ledger: null }]);
});

it('refuses a query as the weight of a select that is taken as it stands', async () => {
  await expect(up(migration(`db.raw('select id from orders')`, lines))).rejects.toThrow(/taken as it stands/);
});

it('refuses to weigh rows in the order in which they are stored', async () => {
  const source = migration(`db('orders').where('done', 0)`, lines, byRows, `order: 'physical'`);
  await expect(up(source)).rejects.toThrow(/options.weigh cuts chunks in the order of the key/);
});
