import { quote } from '../../src/core/values/quote.ts';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type TestDatabase, createDatabase } from '../support/database.ts';
import { type KeyPart, createKeyed, keyTypes, prepareKeyTypes } from '../support/key-types.ts';
import { visitAll, visits } from '../support/visits.ts';

// FAULTS_LONG=1: 400 schemas of up to 3,000 rows, some minutes.
const isLong = process.env['FAULTS_LONG'] === '1';
const schemas = isLong ? 400 : 12;
const mostRows = isLong ? 3_000 : 250;
const mostChunks = 12;

let database: TestDatabase;
let missing: readonly string[];

beforeAll(async () => {
  database = await createDatabase();
  missing = await prepareKeyTypes(database.client, database.name);
});

afterAll(async () => {
  await database.drop();
});

/** Names that Postgres keeps as they are: up to 63 bytes. */
const anyName = fc
  .array(fc.constantFrom(...'aZ_9 $"\'\\;:-ü🙂語', 'select', 'no', '🙂', '?', '.', '$1'), {
    minLength: 1,
    maxLength: 70,
  })
  .map((letters) => {
    let name = '';
    for (const letter of letters) if (Buffer.byteLength(name + letter) <= 63) name += letter;
    return name;
  })
  .filter((name) => !['no', 'n'].includes(name));

/** Names that knex can write: it takes dots, question marks and spaces at the ends for something else. */
const tableName = anyName
  .map((name) => name.replaceAll(/[.?]/g, '_').trim())
  .filter((name) => name !== '' && !/ as /i.test(name));

const schema = fc.record({
  in: tableName,
  table: tableName,
  columns: fc.uniqueArray(
    fc.record({ type: fc.nat(keyTypes.length - 1), name: anyName, few: fc.integer({ min: 1, max: 20 }) }),
    { minLength: 1, maxLength: 4, selector: ({ name }) => name },
  ),
  /** Which column has as many values as there are rows. */
  telling: fc.nat(3),
  rows: fc.nat(mostRows),
  chunks: fc.integer({ min: 1, max: mostChunks }),
  lanes: fc.integer({ min: 1, max: 4 }),
  style: fc.constantFrom('rows' as const, 'sets' as const),
  namesKey: fc.boolean(),
  abortedAfter: fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 3 }),
  isAnalyzed: fc.boolean(),
  andBack: fc.boolean(),
});

type Schema = typeof schema extends fc.Arbitrary<infer Value> ? Value : never;

it(
  'visits every row of any table once, and once on the way back, interrupted or not',
  { timeout: 3_600_000 },
  async () => {
    const { client, url } = database;
    const isVisitedOnce = async (given: Schema): Promise<void> => {
      const parts = partsOf(given);
      const written = `${quote(given.in)}.${quote(given.table)}`;
      await client.query(`create schema ${quote(given.in)}; ${createKeyed(written, parts, given.rows)}`);
      try {
        if (given.isAnalyzed) await client.query(`analyze ${written}`);
        const total = Number((await client.query(`select count(*) from ${written}`)).rows[0].count);
        await visitAll(url, {
          table: `${given.in}.${given.table}`,
          written,
          style: given.style,
          key: given.namesKey ? parts.map(({ written: name }) => name).toReversed() : undefined,
          chunkSize: Math.max(1, Math.ceil(total / given.chunks)),
          lanes: given.lanes,
          abortedAfter: given.abortedAfter,
          andBack: given.andBack,
        });
        expect(await visits(client, written)).toEqual(total === 0 ? {} : { [given.andBack ? 11 : 1]: total });
      } finally {
        await client.query(`drop schema ${quote(given.in)} cascade`);
      }
    };
    // What it throws names the seed and the smallest schema found.
    await fc.assert(fc.asyncProperty(schema, isVisitedOnce), { numRuns: schemas, endOnFailure: !isLong });
  },
);

function partsOf(
  given: typeof schema extends fc.Arbitrary<infer T> ? T : never,
): (KeyPart & { written: string })[] {
  return given.columns.map(({ type, name, few }, index) => {
    const found = keyTypes[type];
    const isHere = found !== undefined && !missing.includes(found.extension ?? '');
    const distinct = index === given.telling % given.columns.length ? Math.max(given.rows, 1) : few;
    const usual = keyTypes[0];
    if (usual === undefined) throw new Error('there are no key types');
    return { type: isHere ? found : usual, name: quote(name), written: name, distinct };
  });
}
