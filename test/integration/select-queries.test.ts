import { afterAll, beforeAll, expect, it } from 'vitest';
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
