import knexFactory from 'knex';
import type { Knex } from 'knex';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { updateRows } from '../../src/migration/write-rows/update-rows.ts';
import { createDatabase } from '../support/database.ts';

/** What updateRows refuses, and how it says so: by column and row, never with a value. */

type TestDatabase = Awaited<ReturnType<typeof createDatabase>>;

let database: TestDatabase;
let db: Knex;

beforeAll(async () => {
  database = await createDatabase();
  await database.client.query(`
    create type mood as enum ('sad', 'happy');
    create domain even as int check (value % 2 = 0);
    create table t (
      id int primary key, n int, m int, big bigint not null default 0, amount numeric(4, 2), code varchar(5),
      name text, feeling mood, half even, at timestamptz, local timestamp, day date, during int4range,
      doc jsonb, docs jsonb[], ns int[], flag boolean, uid uuid, raw bytea, search tsvector,
      constraint small check (m < 100)
    );
    insert into t (id) select generate_series(1, 200000)`);
  db = knexFactory({ client: 'pg', connection: database.url });
});
afterAll(async () => {
  await db.destroy();
  await database.drop();
});

const secret = 'hunter2 - "where';

async function refusal(rows: readonly object[], set: readonly string[]): Promise<Error & { code: string }> {
  const error: unknown = await updateRows(db, 't', rows, { key: ['id'], set }).catch(
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(Error);
  return error as Error & { code: string };
}

const circle: Record<string, unknown> = {};
circle['self'] = circle;
const ring: unknown[] = [];
ring.push(ring);
const invalid = new Date(Number.NaN);

describe('a value that would be stored as something else', () => {
  it.each<[what: string, column: string, value: unknown, message: RegExp]>([
    ['NaN as JSON', 'doc', Number.NaN, /\(jsonb\).*: NaN or Infinity/],
    ['Infinity in JSON', 'doc', { a: [{ b: -Infinity }] }, /NaN or Infinity/],
    ['an invalid Date', 'at', invalid, /"at" \(timestamp with time zone\).*: an invalid Date/],
    ['an invalid Date in an array', 'docs', [null, invalid], /an invalid Date/],
    ['an invalid Date in JSON', 'doc', { a: { at: invalid } }, /an invalid Date/],
    ['a function', 'name', () => secret, /"name" \(text\).*: a function/],
    ['a function as JSON', 'doc', () => secret, /a function/],
    ['a function in an array', 'ns', [1, () => 2], /"ns" \(integer\[\]\).*: a function/],
    ['a symbol', 'name', Symbol(secret), /a symbol/],
    ['a bigint in JSON', 'doc', { secret, a: [1n] }, /contains a bigint or a cycle/],
    ['an object that holds itself', 'doc', circle, /JSON cannot hold/],
    ['an array that contains itself', 'ns', ring, /contain itself/],
    ['text that is no JSON', 'doc', secret, /not JSON: give it as JSON\.stringify\(text\)/],
    ['text that is no JSON, in an array', 'docs', [secret], /not JSON/],
    ['bytes for a number', 'n', Buffer.from(secret), /"n" \(integer\).*: bytes/],
    ['bytes that are no text', 'name', Buffer.from([0xff, 0xfe]), /: bytes/],
    [
      'what cannot say itself',
      'name',
      {
        toPostgres: () => {
          throw new Error(secret);
        },
      },
      /its toPostgres throws/,
    ],
  ])('is refused: %s', async (_what, column, value, message) => {
    const error = await refusal(
      [
        { id: 1, [column]: null },
        { id: 2, [column]: value },
      ],
      [column],
    );
    expect(error).toMatchObject({ code: 'VALUE_REFUSED' });
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/^updateRows: row 2 .* of "t": /);
    expect(String(error.stack)).not.toContain('hunter2');
  });
});

describe('a value that Postgres refuses', () => {
  it.each<[what: string, values: object, message: RegExp, code: string]>([
    ['text for a number', { n: secret }, /: column "n" \(integer\) of "t": invalid input/, '22P02'],
    ['text for one of two', { n: 1, m: secret }, /: column "m" \(integer\) of "t"/, '22P02'],
    ['one of two', { doc: { a: '\0' }, docs: null }, /: one of the columns "doc" \(jsonb\), "docs"/, '22P05'],
    ['text for one of many', { name: 'x', n: secret, day: null }, /: column "n" \(integer\)/, '22P02'],
    ['an object for a number', { big: { secret } }, /: column "big" \(bigint\)/, '22P02'],
    ['a number that is too large', { n: 2 ** 40 }, /: column "n" \(integer\).*out of range/, '22003'],
    ['a fraction', { n: 1.5 }, /: column "n" \(integer\)/, '22P02'],
    ['too many digits', { amount: 1e6 }, /: column "amount" \(numeric\).*overflow/, '22003'],
    ['too long a text', { code: secret, name: '' }, /: column "code" \(character varying\)/, '22001'],
    ['another label', { feeling: secret }, /: column "feeling" \(mood\)/, '22P02'],
    ['a domain’s check', { half: 3 }, /"half".*domain even violates check constraint/, '23514'],
    ['a table’s check', { m: 1234 }, /violates check constraint "small"/, '23514'],
    ['null where there must be one', { big: null, n: 1 }, /: column "big" of "t": null value/, '23502'],
    ['no date', { day: '2024-02-30', n: 1 }, /: column "day" \(date\).*out of range/, '22008'],
    ['no time', { at: secret, local: null }, /: column "at" \(timestamp with time zone\)/, '22007'],
    ['no local time', { local: secret, at: null }, /: column "local" \(timestamp without/, '22007'],
    ['no range', { during: secret }, /: column "during" \(int4range\)/, '22P02'],
    ['no array', { ns: secret, n: 1 }, /: column "ns" \(integer\[\]\)/, '22P02'],
    ['an array of text', { ns: [secret], name: '' }, /: column "ns" \(integer\[\]\)/, '22P02'],
    ['an array for a number', { n: [1, 2] }, /: column "n" \(integer\)/, '22P02'],
    ['no boolean', { flag: secret }, /: column "flag" \(boolean\)/, '22P02'],
    ['no uuid', { uid: secret, name: 'x' }, /: column "uid" \(uuid\)/, '22P02'],
    ['a zero in text', { name: `${secret}\0` }, /"name"/, '22021'],
    ['a zero in JSON', { doc: { secret, a: '\0' } }, /column "doc" \(jsonb\)|"doc"/, '22P05'],
    ['no word', { search: `'${secret}` }, /column "search" \(tsvector\)/, '42601'],
  ])('is told by its column: %s', async (_what, values, message, code) => {
    const error = await refusal([{ id: 1, ...values }], Object.keys(values));
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/^updateRows: /);
    expect(error).toMatchObject({ code });
    expect(error.message + String(error.stack)).not.toMatch(/hunter2|1234|unnest/);
  });

  it('is found among 100,000 values, in a short message; they are stored without it', async () => {
    const rows = Array.from({ length: 50_000 }, (_, index) => ({
      id: index + 1,
      n: index,
      name: `n${index}`,
    }));
    const bad = rows.with(49_998, { id: 49_999, n: secret as never, name: '' });
    const { message } = await refusal(bad, ['n', 'name']);
    expect(message).toBe(
      'updateRows: column "n" (integer) of "t": invalid input syntax for type integer: "…"',
    );
    expect(await updateRows(db, 't', rows, { key: ['id'], set: ['n', 'name'] })).toBe(50_000);
    const { rows: found } = await database.client.query(
      `select count(*)::int as count from t where n = id - 1 and name = 'n' || n`,
    );
    expect(found).toEqual([{ count: 50_000 }]);
  });
});

describe('a mistake', () => {
  it.each<[what: string, rows: readonly object[], set: readonly string[], message: RegExp]>([
    ['a property that is missing', [{ id: 1 }], ['n'], /row 1 has no value for column "n" \(undefined\)$/],
    ['a slip', [{ id: 1, Name: secret }], ['name'], /row 1 .*"name".*, did you mean "Name"\?/],
    ['the key is missing', [{ id: 1, n: 1 }, { n: 1 }], ['n'], /row 2 has no value for column "id"/],
    ['the key is null', [{ id: null, n: 1 }], ['n'], /row 1 has null in the key column "id"/],
    [
      'one key twice',
      [
        { id: 7, n: 1 },
        { id: 8, n: 1 },
        { id: 7, n: 2 },
      ],
      ['n'],
      /row 3 has the key of row 1/,
    ],
    [
      'one key as text',
      [
        { id: 7, n: 1 },
        { id: '7', n: 2 },
      ],
      ['n'],
      /row 2 has the key of row 1/,
    ],
    [
      'no such column',
      [{ id: 1, nmae: 1 }],
      ['nmae'],
      /"nmae" is not a column of "t", did you mean "name"\?/,
    ],
    ['the key is set', [{ id: 1, n: 1 }], ['n', 'id'], /"id" is in key and in set/],
  ])('stops with what to mend: %s', async (_what, rows, set, message) => {
    const error = await refusal(rows, set);
    expect(error).toMatchObject({ code: 'MIGRATION_FAILED' });
    expect(error.message).toMatch(message);
    expect(String(error)).not.toContain('hunter2');
  });
});
