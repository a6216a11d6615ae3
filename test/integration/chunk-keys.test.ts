import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lockKeys, lockedChunk, pickKeys, rowsByKeys } from '../../src/migration/chunk/queries.ts';
import { isAtMost } from '../../src/migration/key/sql.ts';
import { countWritten, keepMatching } from '../../src/migration/chunk/still-matches.ts';
import { type BaseTable, inPlaces, type Key } from '../../src/migration/key/key.ts';
import type { SelectShape } from '../../src/migration/select/shape.ts';
import { setBasedChunk } from '../../src/migration/chunk/set-chunk.ts';
import { countKeys, countUpTo, keyAtOffset, nthOfKeys, upperKey } from '../../src/migration/key/queries.ts';
import { surveyQuery } from '../../src/migration/table/survey-query.ts';
import { type KeyPart, createKeyed, keyTypes, prepareKeyTypes } from '../support/key-types.ts';
import { SelectDatabase, db } from '../support/select-database.ts';

let select: SelectDatabase;
let missing: readonly string[];

beforeAll(async () => {
  select = await SelectDatabase.create();
  missing = await prepareKeyTypes(select.client, select.name);
});

afterAll(async () => {
  await select.drop();
});

const rows = 250;

function parts(...columns: readonly (readonly [what: string, distinct: number, name?: string])[]): KeyPart[] {
  return columns.map(([what, distinct, name], index) => {
    const type = keyTypes.find((one) => one.what === what);
    if (type === undefined) throw new Error(`there is no key type ${what}`);
    return { type, distinct, name: name ?? `k${index}` };
  });
}

const keys: readonly (readonly [what: string, key: readonly KeyPart[]])[] = [
  ...keyTypes.map((type) => [type.what, [{ type, name: 'k', distinct: rows }]] as const),
  ['tenant, type, timestamp, uuid', parts(['int4', 3], ['an enum', 4], ['timestamptz', 5], ['uuid', rows])],
  ['types of an extension and others', parts(['int8', 3], ['citext', 20], ['date', 7], ['hstore', rows])],
  ['citext, then others', parts(['citext', 20], ['text in a nondeterministic collation', rows])],
  ['domains', parts(['a domain over an enum', 4], ['a domain over an array', 5], ['a domain', rows])],
  [
    'quoted names',
    parts(
      ['int4', 3, '"Weird ""?$1 ?? \\ \\? id"'],
      ['uuid', rows, '"select"'],
      ['bool', 2, `"${'ü'.repeat(31)}x"`],
    ),
  ],
];

describe('chunks visit every row exactly once, with a key of', () => {
  it.each(keys)('%s', async (_what, key) => {
    const lacking = key.map(({ type }) => type.extension).filter((one) => one && missing.includes(one));
    if (lacking.length > 0) return console.warn(`not tried: this server has no extension ${lacking.join()}`);
    const { client } = select;
    await client.query(`drop table if exists app.visited; ${createKeyed('app.visited', key, rows)}`);
    await client.query('analyze app.visited');
    await client.query(`set search_path to ''`);
    try {
      await visitAll();
    } finally {
      await client.query('set search_path to app, public');
    }
  });
});

/** What the ledger's own check says of two keys. */
async function isInOrder(base: BaseTable, one: Key, other: Key): Promise<unknown> {
  const text = `select ${isAtMost('$1::pg_catalog.text[]', '$2::pg_catalog.text[]', base)} as is_at_most`;
  const [row] = await select.run({ text, values: [one, other] });
  return row?.['is_at_most'];
}

/** Visits `app.visited` in every way in which the runner walks its key. */
async function visitAll(): Promise<void> {
  const { client } = select;
  const { shape, base } = await select.prepare(db('app.visited'));
  const total = Number((await client.query('select count(*) from app.visited')).rows[0].count);
  const limit = total > 20 ? 37 : 1;
  const { rows: read, keys: visited } = await select.visit(shape, base, limit);
  expect(new Set(visited.map((one) => JSON.stringify(one))).size).toBe(total);
  expect(visited).toHaveLength(total);
  expect(Object.keys(read[0] ?? {}).filter((name) => name.startsWith('__umzug'))).toEqual([]);
  // The probes agree with the visit.
  const stop = await select.stopKey(base);
  expect(stop).toEqual(visited.at(-1));
  for (const [index, one] of visited.entries()) {
    if (index % limit !== 0) continue;
    const next = visited.slice(index + 1, index + 2);
    expect(await select.keysOf(keyAtOffset(base, one, stop, 0))).toEqual(next);
    expect(await select.keysOf(pickKeys(shape, base, { after: one, upTo: stop, limit: 1 }))).toEqual(next);
  }
  // A ledger's cursors are compared with its bounds as the visit is ordered.
  const [first = stop] = visited;
  expect(await isInOrder(base, first, stop)).toBe(true);
  expect(await isInOrder(base, stop, stop)).toBe(true);
  expect(await isInOrder(base, stop, first)).toBe(total === 1);
  expect(await select.keysOf(upperKey(base, null, stop, total))).toEqual([stop]);
  expect(await select.keysOf(upperKey(base, null, stop, total + 1))).toEqual([]);
  const [counted] = await select.run(countKeys(base, visited));
  expect(Number(counted?.['count'])).toBe(total);
  expect(await select.keysOf(lockKeys(base, visited.toReversed()))).toEqual(visited);
  expect((await select.read(rowsByKeys(shape, base, visited), base)).keys).toEqual(visited);
  expect(await select.run(rowsByKeys(shape, base, []))).toEqual([]);
  // All of a small table is drawn, in the order of the keys, and each row of it is found.
  const drawn = await select.run(surveyQuery(base, shape));
  expect(drawn.map((row) => row['key'])).toEqual(visited);
  expect(drawn.map((row) => Number(row['found']))).toEqual(visited.map((_, index) => index + 1));
  const third = visited.slice(0, 3).at(-1) ?? [];
  const upTo = countUpTo(base, visited, third, 1);
  const [below] = await select.run({ ...upTo, text: `select ${upTo.text} as count` });
  expect(Number(below?.['count'])).toBe(Math.min(3, total));
  const inside = nthOfKeys(base, visited, { after: third, upTo: stop }, 2);
  expect(await select.keysOf(inside)).toEqual(visited.slice(4, -1).slice(0, 1));
  // The planner can walk the index of the key: no sort of what is left for each chunk.
  const chunk = lockedChunk(shape, base, { after: visited[0] ?? null, upTo: stop, limit });
  await client.query('set enable_sort to off; set enable_seqscan to off; set enable_bitmapscan to off');
  const plan = (await select.run({ ...chunk, text: `explain ${chunk.text}` })).map(
    (row) => row['QUERY PLAN'],
  );
  await client.query('reset enable_sort; reset enable_seqscan; reset enable_bitmapscan');
  expect(plan.join('\n')).toMatch(/Index (Only )?Scan using visited_pkey[\s\S]*Index Cond: .*>/);
  expect(plan.join('\n')).not.toMatch(/Sort/);
  // Written by the query that is cut to the chunk, plain and through a join.
  const middle = visited[Math.floor(total / 2)] ?? [];
  const joined = db('app.visited as v').join(db.raw('(values (1)) as one (id)'), db.raw('true'));
  for (const query of [db('app.visited'), joined]) {
    const { shape: written } = await select.prepare(query);
    for (const range of [
      { after: null, upTo: middle },
      { after: middle, upTo: stop },
    ]) {
      const part = setBasedChunk(written, base, range).update({ n: db.raw('n + 1') });
      const { sql, bindings } = part.toSQL().toNative();
      await select.run({ text: sql, values: bindings });
    }
  }
  expect((await client.query('select n, count(*)::int from app.visited group by n')).rows).toEqual([
    { n: 2, count: total },
  ]);
  await writeByBlocks(shape, base, total);
}

/** Writes the rows of all blocks, whose keys are kept on the server meanwhile where it can be. */
async function writeByBlocks(shape: SelectShape, base: BaseTable, total: number): Promise<void> {
  const { client } = select;
  const placed = inPlaces(base);
  const all = { after: null, upTo: ['(4294967294,0)'] };
  await client.query('begin');
  const kept = keepMatching(shape, base, placed, all);
  if (kept !== null) {
    const [matching] = await select.run(kept.keep);
    expect(Number(matching?.['count'])).toBe(total);
  }
  const part = setBasedChunk(shape, placed, all, base).update({ n: db.raw('n + 1') });
  const { sql, bindings } = part.toSQL().toNative();
  await select.run({ text: sql, values: bindings });
  if (kept !== null) {
    const [written] = await select.run(countWritten(shape, base, kept));
    expect(Number(written?.['count'])).toBe(total);
  }
  await client.query('commit');
  expect((await client.query('select n, count(*)::int from app.visited group by n')).rows).toEqual([
    { n: 3, count: total },
  ]);
}
