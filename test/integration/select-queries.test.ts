import knex from 'knex';
import type pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { resolveBaseTable } from '../../src/migration/base-table.ts';
import { pickKeys, rowsByKeys } from '../../src/migration/chunk-queries.ts';
import { inspectSelect } from '../../src/migration/select-shape.ts';
import { asSubquery } from '../../src/migration/whole-select.ts';
import { documented } from '../support/documented.ts';
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
