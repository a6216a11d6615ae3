import knex from 'knex';
import type pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { resolveBaseTable } from '../../src/migration/table/base-table.ts';
import { pickKeys, rowsByKeys } from '../../src/migration/chunk/queries.ts';
import { inspectSelect } from '../../src/migration/select/shape.ts';
import { createMigrator } from '../../src/index.ts';
import { asSubquery } from '../../src/migration/select/raw.ts';
import { documented } from '../support/documented.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';
import { migrateHere } from '../support/small-run.ts';
import { type Query, alike, built, whole } from '../support/queries.ts';
import { Selects } from '../support/selects.ts';

let selects: Selects;

beforeAll(async () => {
  selects = await Selects.create();
});

afterAll(async () => {
  await selects.drop();
});

// FAULTS_LONG=1: those too that are much like another one.
const isLong = process.env['FAULTS_LONG'] === '1';
const shown = documented('Queries that work').map(([select = '']): Query => {
  return [select, select, select.includes('Other') ? '"Other"."Things"' : 'people'];
});
const tried = [...built, ...whole, ...shown, ...(isLong ? alike : [])];

it('gives update, chunk by chunk, what the author’s query would give at once, by rows and by sets', async () => {
  const expected = await Promise.all(tried.map(([, select]) => selects.atOnce(select)));
  const visited = await selects.visitAll(tried);
  const named = (rows: readonly unknown[]): object =>
    Object.fromEntries(tried.map(([what], index) => [what, rows[index]]));
  expect(named(visited)).toEqual(named(expected.map((rows) => ({ rows, changed: { 1: rows.length } }))));
  expect(tried.filter((_, index) => (expected[index]?.length ?? 0) <= 10)).toEqual([]);
});

it('walks the index of the key through a select that is taken as it stands', async () => {
  const { client } = selects;
  // As before Postgres 18.
  await client.query(`
    do $$ begin set enable_self_join_elimination = off; exception when undefined_object then null; end $$;
    create table large (id int primary key, team int);
    insert into large select i, i % 9 from generate_series(1, 20000) as i; analyze large`);
  const db = knex({ client: 'pg' });
  const query = (text: string, values?: readonly unknown[]): Promise<pg.QueryResult> =>
    client.query(text, values === undefined ? undefined : [...values]);
  const table = { schema: null, name: 'large', alias: 'large', only: false };
  const base = await resolveBaseTable(query, table, undefined);
  const select = inspectSelect(
    db.raw('select l.id, t.name from large l join teams t on t.id = l.team'),
    'x.ts',
  );
  if (select.kind !== 'whole') throw new Error('begins with a table');
  const shape = asSubquery(select, base, ['id']);
  const range = { after: ['15000'], upTo: ['20000'], limit: 100 };
  for (const statement of [pickKeys(shape, base, range), rowsByKeys(shape, base, [['15001'], ['15002']])]) {
    const { rows } = await query(`explain (costs off) ${statement.text}`, statement.values);
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
    expect(plan).toMatch(/Scan using large_pkey on large l\n\s+Index Cond: \(.*\bid\b/);
    expect(plan).not.toMatch(/Merge Join|Seq Scan on large/);
  }
});

it('takes a raw select in plan, up, verify and down', async () => {
  await selects.client.query('drop schema if exists umzug_cluster cascade');
  const raw = (done: boolean): string =>
    `db.raw('select p.id as person, t.name as team from people p join teams t on t.id = p.team where (p.name like ?) = ? -- those', ['%!', ${done}])`;
  const change = (sql: string): string =>
    `(db, rows) => db('people').whereIn('id', rows.map(({ person }) => person)).update({ name: db.raw("${sql}") })`;
  const { dir } = makeProject({
    'loud.ts': `
      export const select = (db) => ${raw(false)};
      export const update = ${change("name || '!'")};
      export const down = { select: (db) => ${raw(true)}, update: ${change("rtrim(name, '!')")} };`,
  });
  const migrator = await createMigrator({ cwd: dir, databaseUrl: selects.url, workers: 1 });
  const loud = async (): Promise<number> =>
    (await selects.client.query(`select from people where name like '%!'`)).rowCount ?? 0;
  try {
    const { report } = await migrator.plan();
    expect(report.migrations).toMatchObject([{ table: 'public.people', error: null, sample: { rows: 100 } }]);
    expect(await loud()).toBe(0);
    expect(await migrator.up()).toMatchObject([{ rows: 180 }]);
    expect(await loud()).toBe(180);
    expect((await migrator.verify()).migrations).toMatchObject([{ left: 0 }]);
    expect(await migrator.down()).toMatchObject([{ rows: 180 }]);
    expect(await loud()).toBe(0);
  } finally {
    await migrator.close();
  }
});

it.each([
  ['an order', `db('people').select('id').orderBy('born')`, /order by is ignored/],
  ['an order in raw', `db.raw('select id from people order by born')`, /order by is ignored/],
  [
    'a CTE that Postgres reads as a whole',
    `db.raw('with p as materialized (select id from people) select id from p')`,
    /each chunk reads the CTE "p" as a whole: start with db\('people'\)/,
  ],
  ['a key of floating-point numbers', `db('measures')`, /the key column "at" is a floating-point number/],
])('warns of %s', async (_what, select, said) => {
  await selects.client.query(`
    drop schema if exists umzug_cluster cascade;
    create table if not exists measures (at float8 primary key)`);
  const source = `
    export const options = { allowNoQueries: true };
    export const select = (db) => ${select};
    export const update = () => undefined;`;
  expect(await selects.run([source])).toEqual([expect.stringMatching(said)]);
});

it('is checked and hashed no more often for ten chunks than for one, with 20,000 values in it', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`create table t (id int primary key, hashed int);
      insert into t (id) select generate_series(1, 100); analyze t`);
    // Each check and each hash makes a text of every value.
    const source = `
      let texts = 0;
      class Id {
        constructor(no) { this.no = no; }
        toPostgres() { return this.no; }
        toJSON() { texts += 1; return this.no; }
      }
      const ids = Array.from({ length: 20_000 }, (_, index) => new Id(index + 1));
      export const options = { chunkSize: 10 };
      export const select = (db) => db('t').select('id').whereIn('id', ids);
      export const update = (db, rows) =>
        db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ hashed: texts });`;
    await migrateHere(makeProject({ 'a.ts': source }).dir, url);
    const { rows } = await client.query<{ hashed: number[]; chunks: number }>(
      `select (select array_agg(distinct hashed) from t) as hashed,
              (select sum(chunks)::int from umzug_cluster.ranges) as chunks`,
    );
    expect(rows[0]?.chunks).toBeGreaterThanOrEqual(10);
    expect(rows[0]?.hashed, 'the same at the first chunk and at the last').toEqual([expect.any(Number)]);
    expect(rows[0]?.hashed[0]).toBeGreaterThan(0);
  });
});
