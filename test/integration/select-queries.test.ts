import { afterAll, beforeAll, expect, it } from 'vitest';
import { alike, built, whole } from '../support/queries.ts';
import { Selects, chunkSize } from '../support/selects.ts';

/** What `update` gets, chunk by chunk, is what the author's query would give at once. */

let selects: Selects;

beforeAll(async () => {
  selects = await Selects.create();
});
afterAll(async () => {
  await selects.drop();
});

// FAULTS_LONG=1: those too that are much like another one.
const isLong = process.env['FAULTS_LONG'] === '1';
const tried = [...built, ...whole, ...(isLong ? alike : [])];

it.each(tried.map(([what, select, base]) => [what, select, base ?? 'people'] as const))(
  '%s',
  async (_what, select, base) => {
    const expected = await selects.atOnce(select);
    expect(expected.length).toBeGreaterThan(10);
    const { rows, chunks, hits } = await selects.visit(select, base);
    expect(rows).toEqual(expected);
    expect(chunks).toBeGreaterThanOrEqual(Math.ceil(expected.length / chunkSize));
    expect(hits).toEqual({ 1: expected.length });
  },
);
