import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Migrator, createMigrator } from '../../src/index.ts';
import { type TestDatabase, createDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

/** `up --limit` in a part of the keys: `fromKey` and `toKey`, both inclusive. */

type Part = Pick<Parameters<Migrator['up']>[0] & object, 'fromKey' | 'toKey' | 'limit'>;

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
});

afterAll(async () => {
  await database.drop();
});

const columns = 'no int not null, n int not null default 0';
const tables: Readonly<Record<string, string>> = {
  'a number, with gaps': `create table items (id bigint primary key, ${columns});
    insert into items select i * 10, i from generate_series(1, 400) as i`,
  'several columns': `create table items (tenant text, day date, ${columns}, primary key (tenant, day));
    insert into items select 't' || i % 4, date '2026-01-01' + i / 4, i from generate_series(1, 400) as i`,
  'a uuid': `create table items (id uuid primary key, ${columns});
    insert into items select md5(i::text)::uuid, i from generate_series(1, 400) as i`,
  'a time, by an index in descending order': `create table items (id timestamptz not null, ${columns});
    create unique index on items (id desc);
    insert into items select timestamptz '2026-01-01 00:00Z' + i * interval '1 hour', i from generate_series(1, 400) as i`,
};

const perRow = `(db, rows) => db('items').whereIn('no', rows.map(({ no }) => no)).increment('n', 1)`;
const asSet = `setBased((chunk, db) => chunk.update({ n: db.raw('n + 1') }))`;
const migration = (update: string, options = '', select = `db('items').select('no')`): string => `
  import { setBased } from 'umzug-cluster';
  export const options = { chunkSize: 40, ${options} };
  export const select = (db) => ${select};
  export const update = ${update};`;

beforeEach(async () => {
  await database.client.query(
    'drop schema if exists umzug_cluster cascade; drop table if exists items, others',
  );
});

async function begin(key: string): Promise<void> {
  await database.client.query(`${tables[key] ?? key}; analyze items`);
}

async function withMigrator<T>(
  files: Record<string, string>,
  work: (on: Migrator) => Promise<T>,
): Promise<T> {
  const { dir } = makeProject(files);
  const knexfile = `export default { client: 'pg', migrations: { cluster: { workers: 1 } } };`;
  writeFileSync(path.join(dir, 'knexfile.ts'), knexfile);
  const migrator = await createMigrator({ cwd: dir, databaseUrl: database.url });
  try {
    return await work(migrator);
  } finally {
    await migrator.close();
  }
}

/** What `up` with this part says when it ends. */
async function stopped(migrator: Migrator, part: Part): Promise<string> {
  const error: unknown = await migrator.up(part).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'STOPPED' });
  return (error as Error).message;
}

/** The number of rows that were updated so often, and how many of them the condition does not hold for. */
async function updated(condition: string): Promise<unknown> {
  const { rows } = await database.client.query(
    `select count(*) filter (where n = 1)::int as once, count(*) filter (where n > 1)::int as often,
            count(*) filter (where n > 0 and not (${condition}))::int as outside from items`,
  );
  return rows[0];
}

describe.each([
  ['a number, with gaps', ['995'], ['1500'], `id between 995 and 1500`, 51],
  ['a number, with gaps', undefined, ['95'], `id <= 95`, 9],
  ['a number, with gaps', ['3990'], undefined, `id >= 3990`, 2],
  ['several columns', ['t1'], ['t1'], `tenant = 't1'`, 100],
  [
    'several columns',
    ['t1', '2026-04-01'],
    ['t2', '2026-01-10'],
    `(tenant, day) between ('t1', '2026-04-01') and ('t2', '2026-01-10')`,
    20,
  ],
  ['a uuid', ['4'], undefined, '', -1],
  [
    'a uuid',
    ['40000000-0000-0000-0000-000000000000'],
    ['7FFFFFFF-ffff-ffff-ffff-ffffffffffff'],
    `id between '40000000-0000-0000-0000-000000000000' and '7fffffff-ffff-ffff-ffff-ffffffffffff'`,
    0,
  ],
  [
    'a time, by an index in descending order',
    ['2026-01-03'],
    ['2026-01-05 12:00'],
    `id between '2026-01-03Z' and '2026-01-05 12:00Z'`,
    61,
  ],
] as const)('a part of the keys of %s, from %j to %j', (key, fromKey, toKey, condition, count) => {
  const part: Part = { ...(fromKey && { fromKey }), ...(toKey && { toKey }) };
  const options = key.startsWith('a time') ? `key: ['id']` : '';

  it.each([
    ['row by row', perRow],
    ['set-based', asSet],
  ])(
    'has all of its rows updated, or so many of them, and no other, and the next up continues: %s',
    async (_how, update) => {
      await begin(key);
      await withMigrator({ 'a.ts': migration(update, options) }, async (migrator) => {
        if (count === -1) {
          await expect(migrator.up({ limit: 9, ...part })).rejects.toMatchObject({
            code: 'USAGE',
            message: expect.stringMatching(/^--from-key "4" is no key of "items": .*uuid/),
          });
          const { rows } = await database.client.query(`select to_regclass('umzug_cluster.runs') as ledger`);
          return expect(rows).toEqual([{ ledger: null }]);
        }
        const { rows } = await database.client.query(
          `select count(*)::int as n from items where ${condition}`,
        );
        const all = rows[0].n as number;
        expect(all).toBeGreaterThanOrEqual(Math.max(count, 1));
        const few = Math.min(all, 5);
        expect(await stopped(migrator, { limit: few, ...part })).toMatch(`stopped after ${few} row`);
        expect(await updated(condition)).toEqual({ once: few, often: 0, outside: 0 });
        expect(await stopped(migrator, { limit: 1_000, ...part })).toMatch(
          all === few
            ? /^stopped after 0 rows, all that match/
            : /, all that match in this part of the keys at \d+%$/,
        );
        expect(await updated(condition)).toEqual({ once: all, often: 0, outside: 0 });
        expect(await migrator.up()).toMatchObject([{ rows: 400 }]);
        expect(await updated('true')).toEqual({ once: 400, often: 0, outside: 0 });
        expect(await migrator.verify()).toMatchObject({ contradictions: [] });
      });
    },
  );
});

it('is another one in each up, whatever was done before', async () => {
  await begin('a number, with gaps');
  await withMigrator({ 'a.ts': migration(perRow) }, async (migrator) => {
    await stopped(migrator, { limit: 30 });
    expect(await updated('id <= 300')).toEqual({ once: 30, often: 0, outside: 0 });
    expect(await stopped(migrator, { limit: 1_000, fromKey: ['100'], toKey: ['400'] })).toMatch(
      'after 10 rows',
    );
    expect(await stopped(migrator, { limit: 3, fromKey: ['2000'], toKey: ['2100'] })).toMatch(
      'after 3 rows as asked',
    );
    expect(await stopped(migrator, { limit: 1_000, fromKey: ['1990'], toKey: ['2050'] })).toMatch(
      'after 4 rows',
    );
    expect(await stopped(migrator, { limit: 1_000, fromKey: ['5000'] })).toMatch('after 0 rows');
    expect(await stopped(migrator, { limit: 1_000, toKey: ['5'] })).toMatch('after 0 rows');
    await expect(migrator.up({ limit: 1_000, fromKey: ['600'], toKey: ['500'] })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/^--from-key lies behind --to-key/),
    });
    // Without a part: from the start of what is left.
    expect(await stopped(migrator, { limit: 2 })).toMatch('after 2 rows as asked');
    expect(await updated('id <= 420 or id between 1990 and 2050')).toEqual({
      once: 49,
      often: 0,
      outside: 0,
    });
    expect(await migrator.up()).toMatchObject([{ rows: 400 }]);
    expect(await updated('true')).toEqual({ once: 400, often: 0, outside: 0 });
  });
});

it('holds for sweeps, too', async () => {
  await begin('a number, with gaps');
  const source = migration(perRow, 'sweep: true', `db('items').select('no').where('n', 0)`);
  await withMigrator({ 'a.ts': source }, async (migrator) => {
    // All but the part is done, so that a sweep follows it.
    await stopped(migrator, { limit: 1_000, toKey: ['3000'] });
    await stopped(migrator, { limit: 1_000, fromKey: ['3500'] });
    await database.client.query('update items set n = 0 where id <= 1000');
    expect(await stopped(migrator, { limit: 1_000, fromKey: ['3010'], toKey: ['3490'] })).toMatch(
      'after 49 rows',
    );
    expect(await updated('id > 1000')).toEqual({ once: 300, often: 0, outside: 0 });
    await migrator.up();
    expect(await updated('true')).toEqual({ once: 400, often: 0, outside: 0 });
  });
});

it('is kept by a run that was to find out its order: it continues by key', async () => {
  await begin('a number, with gaps');
  await withMigrator({ 'a.ts': migration(perRow) }, async (migrator) => {
    await stopped(migrator, { limit: 10 });
    await database.client.query(`
      update umzug_cluster.ranges set hi = '{1000}', estimated = 90;
      update umzug_cluster.runs set stop_key = '{1000}', plan = plan || '{"auto": {"state": "undecided", "why": ""}}'`);
    expect(await stopped(migrator, { limit: 1_000, fromKey: ['3000'], toKey: ['3100'] })).toMatch(
      'after 11 rows',
    );
    expect(await updated('id <= 100 or id between 3000 and 3100')).toEqual({
      once: 21,
      often: 0,
      outside: 0,
    });
    expect(await migrator.up()).toMatchObject([{ rows: 400 }]);
    expect(await updated('true')).toEqual({ once: 400, often: 0, outside: 0 });
    expect(await migrator.verify()).toMatchObject({ contradictions: [] });
  });
});

it('is one of the first migration: the next one has other keys', async () => {
  await begin(`${tables['a number, with gaps'] ?? ''}; create table others (id text primary key, n int not null default 0);
    insert into others select 'x' || i from generate_series(1, 9) as i`);
  const other = migration(
    `(db, rows) => db('others').whereIn('id', rows.map(({ id }) => id)).increment('n', 1)`,
    '',
    `db('others').select('id')`,
  );
  await withMigrator({ 'a.ts': migration(perRow), 'b.ts': other }, async (migrator) => {
    expect(await stopped(migrator, { limit: 1_000, fromKey: ['1'], toKey: ['99999'] })).toMatch(
      'after 400 rows',
    );
    const { rows } = await database.client.query('select sum(n)::int as n from others');
    expect(rows).toEqual([{ n: 0 }]);
    expect(await migrator.up()).toMatchObject([{ name: 'b' }]);
  });
});

it('may be one of groups', async () => {
  await begin(`create table items (site text not null, ${columns}); create index on items (site);
    insert into items select 'site ' || lpad((i % 50)::text, 2, '0'), i from generate_series(1, 400) as i`);
  const update = `(db, rows) => db('items').whereIn('site', rows.map(({ site }) => site)).increment('n', 1)`;
  await withMigrator({ 'a.ts': migration(update, '', `db('items').distinct('site')`) }, async (migrator) => {
    expect(await stopped(migrator, { limit: 3, fromKey: ['site 10'] })).toMatch('after 3 rows as asked');
    expect(await updated(`site in ('site 10', 'site 11', 'site 12')`)).toEqual({
      once: 24,
      often: 0,
      outside: 0,
    });
    await migrator.up();
    expect(await updated('true')).toEqual({ once: 400, often: 0, outside: 0 });
  });
});

it('is not needed for a canary of a table without a key', async () => {
  await begin(
    `create table items (${columns}); insert into items select i from generate_series(1, 400) as i`,
  );
  const source = migration(perRow, '', `db('items').select('no').where('n', 0)`);
  await withMigrator({ 'a.ts': source }, async (migrator) => {
    expect(await stopped(migrator, { limit: 37 })).toMatch('after 37 rows as asked');
    expect(await updated('true')).toEqual({ once: 37, often: 0, outside: 0 });
    expect(await migrator.up()).toMatchObject([{ rows: 400 }]);
    expect(await updated('true')).toEqual({ once: 400, often: 0, outside: 0 });
  });
});

it.each([
  ['without a limit', '', 'a number, with gaps', { fromKey: ['1'] }, /need --limit/],
  ['of too many values', '', 'a number, with gaps', { limit: 1, toKey: ['1', '2'] }, /it has 2 values/],
  [
    'in physical order',
    `order: 'physical'`,
    'a number, with gaps',
    { limit: 1, toKey: ['1'] },
    /the order in which its rows are stored/,
  ],
  [
    'of a table without a key',
    '',
    `create table items (${columns})`,
    { limit: 1, toKey: ['1'] },
    /"items" has no key/,
  ],
] as const)('is refused %s, before anything is written', async (_what, options, key, part, said) => {
  await begin(key);
  await database.client.query(`insert into items (no, n) select 1, 0 where '${key.slice(0, 6)}' = 'create'`);
  const source = migration(perRow, options, `db('items').select('no').where('n', 0)`);
  await withMigrator({ 'a.ts': source }, async (migrator) => {
    await expect(migrator.up(part)).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(said),
    });
    const { rows } = await database.client.query(`select to_regclass('umzug_cluster.runs') as ledger`);
    expect(rows).toEqual([{ ledger: null }]);
  });
});
