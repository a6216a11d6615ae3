import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createMigrator } from '../../src/index.ts';
import { type TestDatabase, createDatabase } from '../support/database.ts';
import { upMeasured } from '../support/measured.ts';
import { makeProject } from '../support/project.ts';

/** Selects whose rows are groups of rows of one table: `group by`, `distinct`, `distinct on`. */

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  // No key at all, and one group of 2,000 rows among those of up to 7.
  await database.client.query(`
    create table visits (site text not null, day int not null, n int not null, note text, seen int);
    create table given (site text, day int, lines int, first int, chunk text);
    create index on visits (site, day);
    create index on visits (lower(site), day);
    create index on visits ((n % 7), day);
    create index on visits (upper(note)) where n > 5`);
});

afterAll(async () => {
  await database.drop();
});

beforeEach(async () => {
  await database.client.query(`
    drop schema if exists umzug_cluster cascade; truncate visits, given;
    insert into visits (site, day, n)
      select 'Site ' || i % 150, i / 150 % 3, i from generate_series(1, 1200) as i
      union all select 'Site 7', 1, i from generate_series(1, 2000) as i;
    analyze visits`);
});

const update = `(db, rows, { chunk }) =>
    insertRows(db, 'given', rows.map(({ site = null, day = null, lines = null, n = null }) => ({ site, day, lines, first: n, chunk })))`;
const migration = (select: string, options = 'chunkSize: 50', body = update): string => `
  import { insertRows, setBased } from 'umzug-cluster';
  export const options = { ${options} };
  export const select = (db) => ${select};
  export const update = ${body};`;

async function up(source: string): Promise<Awaited<ReturnType<typeof upMeasured>>> {
  return await upMeasured(database.url, database.client, { table: 'visits', source });
}

async function rowsOf(sql: string): Promise<unknown> {
  return (await database.client.query(sql)).rows;
}

it.each([
  [
    'group by a column, with aggregates',
    `db('visits').select('site').count('* as lines').min('n as n').groupBy('site')`,
    `select site, null::int as day, count(*)::int as lines, min(n) as first from visits group by site`,
  ],
  [
    'group by two columns, in another order than the index, under an alias, with a condition',
    `db('visits as v').select('v.day', 'v.site').count('* as lines').where('n', '>', 30).groupBy('v.day', 'v.site')`,
    `select site, day, count(*)::int as lines, null::int as first from visits where n > 30 group by site, day`,
  ],
  [
    'group by, having',
    `db('visits').select('site').count('* as lines').groupBy('site').havingRaw('max(n) > 1100')`,
    `select site, null::int as day, count(*)::int as lines, null::int as first from visits group by site having max(n) > 1100`,
  ],
  [
    'distinct',
    `db('visits').distinct('site', 'day')`,
    `select distinct site, day, null::int as lines, null::int as first from visits`,
  ],
  [
    'distinct on, the last of each',
    `db('visits').distinctOn('site').select('site', 'n').orderBy(['site', { column: 'n', order: 'desc' }])`,
    `select site, null::int as day, null::int as lines, max(n) as first from visits group by site`,
  ],
  [
    'group by an expression, with aggregates, under an alias',
    `db('visits as v').select(db.raw('lower(v.site) as site')).count('* as lines').groupByRaw('lower(v.site)')
      .whereRaw('lower(v.site) is not null')`,
    `select lower(site) as site, null::int as day, count(*)::int as lines, null::int as first from visits group by lower(site)`,
  ],
  [
    'group by an expression and a column, in another order than the index, written in another way',
    `db('visits').select('day', db.raw('lower( (site)::text ) as site')).min('n as n')
      .groupByRaw('day, lower( (site)::text )').whereNotNull(db.raw('LOWER(site)'))`,
    `select lower(site) as site, day, null::int as lines, min(n) as first from visits group by lower(site), day`,
  ],
  [
    'distinct on an expression, the last of each',
    `db('visits').distinctOn(db.raw('(n % 7)'), 'day').select('day', 'n').whereRaw('n % 7 is not null')
      .orderBy([{ column: db.raw('n % 7') }, 'day', { column: 'n', order: 'desc' }])`,
    `select null as site, day, null::int as lines, max(n) as first from visits group by n % 7, day`,
  ],
  [
    'distinct expressions',
    `db('visits').distinct(db.raw('lower(site) as site'), 'day').whereRaw('lower(site) is not null')`,
    `select distinct lower(site) as site, day, null::int as lines, null::int as first from visits`,
  ],
])('passes each group once, as it is as a whole: %s', async (_what, select, expected) => {
  const { outcome } = await up(migration(select));
  const all = (await rowsOf(`select * from (${expected}) as e order by site, day, first`)) as unknown[];
  expect(await rowsOf('select site, day, lines, first from given order by site, day, first')).toEqual(all);
  expect(outcome).toMatchObject({ rows: all.length });
  expect(await rowsOf('select count(distinct chunk) > 3 as several from given')).toEqual([{ several: true }]);
});

it.each([
  ['a column', 'note', `whereNotNull('note')`],
  ['two columns', 'site, note', `whereNotNull('note')`],
  ['an expression', `note || '!'`, `whereRaw("note || '!' is not null")`],
  ['an expression and a column', `site, note || '!'`, `whereRaw("note || '!' is not null")`],
])('passes each group of %s once, where other rows have no value', async (_what, by, condition) => {
  await rowsOf(`create index if not exists by_note on visits (note); create index if not exists by_site on visits (site, note);
    create index if not exists by_text on visits ((note || '!')); create index if not exists by_texts on visits (site, (note || '!'));
    update visits set note = case when n % 3 > 0 then 'Note ' || n % 5 end`);
  const select = `db('visits').count('* as lines').min('n as n').groupByRaw("${by}").${condition}`;
  const { outcome } = await up(migration(select, 'chunkSize: 3'));
  const all = (await rowsOf(`select count(*)::int as lines, min(n) as first from visits where note is not null
    group by ${by} order by lines, first`)) as unknown[];
  expect(await rowsOf('select lines, first from given order by lines, first')).toEqual(all);
  expect(outcome).toMatchObject({ rows: all.length });
});

it('deletes all but one of the rows of each group, in a table without a key', async () => {
  const select = `db('visits').select('site').groupBy('site').havingRaw('count(*) > 1')`;
  const remove = `(db, rows) => db.raw(\`delete from visits where site = any (?) and ctid <> all (
    select min(ctid) from visits where site = any (?) group by site)\`, [rows.map(({ site }) => site), rows.map(({ site }) => site)])`;
  await up(migration(select, 'allowDelete: true, sweep: true', remove));
  expect(
    await rowsOf('select count(*)::int as rows, count(distinct site)::int as sites from visits'),
  ).toEqual([{ rows: 150, sites: 150 }]);
});

it('says how many rows it tried, and what they became, when it is planned', async () => {
  const body = `async (db, rows) => { for (const { site, total } of rows) await db('visits').where({ site }).update({ seen: total }); }`;
  const source = migration(`db('visits').select('site').sum('n as total').groupBy('site')`, '', body);
  const migrator = await createMigrator({
    cwd: makeProject({ 'a.ts': source }).dir,
    databaseUrl: database.url,
  });
  const { report } = await migrator.plan();
  await migrator.close();
  const [planned] = report.migrations;
  expect(planned?.rows).toMatchObject({ estimated: 150, isCounted: true, table: null, why: null });
  expect(planned?.sample).toMatchObject({ changedColumns: ['seen'] });
  expect(await rowsOf('select count(seen)::int as seen from visits')).toEqual([{ seen: 0 }]);
});

describe('refuses, before anything is written, groups', () => {
  it.each([
    [
      'without an index',
      `db('visits').distinct('n')`,
      '',
      /create index concurrently on "public"."visits" \("n"\)/,
    ],
    ['of a part of an index', `db('visits').distinct('day')`, '', /no index begins with that/],
    ['that may be null', `db('visits').distinct('note')`, '', /add whereNotNull\('note'\)/],
    [
      'by an expression that may be null',
      `db('visits').groupByRaw('lower(site)').count()`,
      '',
      /groups "visits" by lower\(site\), which may be null[^]*add whereRaw\('lower\(site\) is not null'\)/,
    ],
    [
      'by an expression without an index',
      `db('visits').groupByRaw('upper(site)').count()`,
      '',
      /create index concurrently on "public"."visits" \(upper\(site\)\)/,
    ],
    [
      'by an expression whose index is of some rows',
      `db('visits').groupByRaw('upper(note)').count()`,
      '',
      /index "visits_upper_idx" cannot be used: it is partial/,
    ],
    ['by a position', `db('visits').select('site').groupByRaw('1')`, '', /no index begins with that/],
    [
      'of a join',
      `db('visits').join('given', 'given.site', 'visits.site').distinct('visits.site')`,
      '',
      /must not use distinct/,
    ],
    [
      'that depend on rows outside of them',
      `db('visits').select('site').groupBy('site').havingRaw('count(*) > (select avg(day) from visits)')`,
      '',
      /must not group or aggregate/,
    ],
    [
      'with a window',
      `db('visits').select('site', db.raw('rank() over (order by count(*))')).groupBy('site')`,
      '',
      /window function/,
    ],
    ['with a limit', `db('visits').distinct('site').limit(5)`, '', /must not use limit/],
    ['with a key of rows', `db('visits').distinct('site')`, `key: ['site']`, /options.key is of no use/],
    ['that are weighed', `db('visits').distinct('site')`, `weigh: () => null`, /options.weigh is of no use/],
    ['with an undo by images', `db('visits').distinct('site')`, `undo: true`, /select groups them/],
    [
      'in the order of the blocks',
      `db('visits').distinct('site')`,
      `order: 'physical'`,
      /groups have no place/,
    ],
  ])('%s', async (_what, select, options, said) => {
    const error: unknown = await up(migration(select, options)).catch((reason: unknown) => reason);
    const { message, detail, hint } = error as Record<string, string>;
    expect([message, detail, hint].join('\n')).toMatch(said);
    expect(await rowsOf(`select to_regclass('umzug_cluster.runs') as ledger`)).toEqual([{ ledger: null }]);
  });

  it('of a set-based update', async () => {
    const source = migration(`db('visits').distinct('site')`, '', 'setBased((chunk) => chunk.delete())');
    await expect(up(source)).rejects.toThrow(/setBased works on rows/);
  });
});

it('shows the number of all groups that was counted, and at the end those that were there', async () => {
  await rowsOf(
    `insert into visits (site, day, n) select 'Last ' || i, 9, i from generate_series(1, 30) as i`,
  );
  const { progress, outcome } = await up(migration(`db('visits').select('site').groupBy('site')`));
  expect(outcome).toMatchObject({ rows: 180 });
  expect(new Set(progress.map(({ rowsEstimated }) => rowsEstimated))).toEqual(new Set([180]));
});

it('refuses an update that moves rows into another group of an expression', async () => {
  const select = `db('visits').distinct(db.raw('lower(site) as site')).whereRaw('lower(site) is not null')`;
  const body = `(db, rows) => db.raw("update visits set site = 'Site 9' where lower(site) = any (?)", [rows.map(({ site }) => site)])`;
  await expect(up(migration(select, 'chunkSize: 50', body))).rejects.toThrow(/moved or deleted/);
});

it('refuses an update that moves rows into another group', async () => {
  const body = `(db, rows) => db.raw("update visits set site = 'Site 9' where site = any (?)", [rows.map(({ site }) => site)])`;
  await expect(up(migration(`db('visits').distinct('site')`, 'chunkSize: 50', body))).rejects.toThrow(
    /moved or deleted/,
  );
});
