import knexFactory from 'knex';
import type { Knex } from 'knex';
import { inspect } from 'node:util';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { updateRows } from '../../src/migration/write-rows/update-rows.ts';
import { createDatabase } from '../support/database.ts';

/** What one knex.update through pg stores is the measure of what updateRows stores. */

type TestDatabase = Awaited<ReturnType<typeof createDatabase>>;

let database: TestDatabase;
let db: Knex;

const at = new Date('2025-05-18T22:04:04.123Z');
const oneDate = [at];
const texts = ['', ' x ', 'NULL', 'null', '{}', '{a,b}', '\\', '"', "it's", 'a,b\nü🙂', '12', 't', '1e3'];
const numbers = [0, -0, 1, -1.5, 1e21, 1e-7, 2 ** 53, 9007199254740993n, Infinity, -Infinity, NaN];
const dates = [
  at,
  new Date('0044-03-15T12:00:00Z'),
  new Date(Date.UTC(12_024, 0, 1)),
  new Date(-62_200_000_000_000),
  new Date('1890-06-01T00:00:00Z'),
];
const bytes = [Buffer.from('abc'), Buffer.from([0, 255, 92]), new Uint8Array([1, 2]), new Float32Array([1])];
const arrays = [
  [],
  [1, null, undefined, 2],
  // oxlint-disable-next-line no-sparse-arrays
  [1, , 3],
  ['a', '', 'NULL', '\\"', 'a,b', '{', null],
  [true, false],
  [
    [1, 2],
    [3, 4],
  ],
  [['a'], [null]],
  oneDate,
  [Buffer.from([0, 255])],
  [{ a: 1 }],
  ['{"a": 1}'],
];
const objects = [
  {},
  { a: [1, null, 'ü', undefined], b: undefined, c: { d: at } },
  { toPostgres: () => '7' },
  { toPostgres: () => null },
  { toPostgres: () => '[1]' },
  { toPostgres: (prepare: (value: unknown) => unknown) => prepare(at) },
  { toJSON: () => ({ own: true }) },
];
const strings = [
  ...texts,
  ...'2024-02-29 | 23:59:60 | infinity | 1 day -02:03:04 | happy | [1,5) | {[1,2),[3,4)} | (1,2) | 0101'.split(
    ' | ',
  ),
  ...'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 | 192.168.0.1/24 | 08:00:2b:01:02:03 | "a" => NULL'.split(' | '),
  ...'[1, "a"] | "text" | <a/> | too long for some | $.a[*] | {"a": {"b": null}} | {1,2} | 16/B374D848'.split(
    ' | ',
  ),
];
const values: readonly unknown[] = [
  null,
  true,
  false,
  ...[strings, numbers, dates, bytes, arrays, objects].flat(),
];

/** Names, divided by bars. */
const named = (...lists: readonly string[]): readonly string[] => lists.flatMap((list) => list.split(' | '));
const common = named(
  'int | bigint | numeric(6, 2) | float8 | boolean | text | varchar(5) | char(4) | mood | even | uuid | bytea',
  'date | time | timestamp | timestamptz | interval | jsonb | json | int[] | text[] | jsonb[] | timestamptz[]',
  'bytea[] | int4range | inet | ints | place',
);
const rare = named(
  'smallint | numeric | real | money | oid | "char" | name | citext | short | timetz | timestamptz(0)',
  'varchar(2)[] | mood[] | bool[] | pair | tstzrange | int4multirange | cidr | macaddr | bit(4) | varbit',
  'point | polygon | tsvector | xml | jsonpath | pg_lsn | hstore',
);

// FAULTS_LONG=1: the rare types too, and every value that is refused.
const isLong = process.env['FAULTS_LONG'] === '1';

// One column for each type, named by its number.
const types = isLong ? [...common, ...rare] : common;

const columnOf = (type: string): string => `c${types.indexOf(type)}`;

beforeAll(async () => {
  database = await createDatabase();
  await database.client.query(`
    create extension citext; create extension hstore;
    create type mood as enum ('sad', 'happy');
    create type place as (x int, y text);
    create domain short as varchar(5);
    create domain even as int check (value % 2 = 0);
    create domain ints as int[];
    create type pair as range (subtype = float8);
    create table plain (id int primary key, ${types.map((type) => `${columnOf(type)} ${type}`).join(', ')});
    create table batch (like plain including all);
    insert into plain (id) select generate_series(0, ${values.length - 1});
    insert into batch (id) select id from plain`);
  db = knexFactory({ client: 'pg', connection: database.url, pool: { min: 1, max: 1 } });
});
afterAll(async () => {
  await db.destroy();
  await database.drop();
});

/** A value as text; `refused` where the way to write it threw. */
type Stored = string | null;

/** What one knex.update of each value leaves in the column. */
async function storedByKnex(type: string): Promise<Stored[]> {
  const refused = new Set<number>();
  for (const [id, value] of values.entries()) {
    await db('plain')
      .where({ id })
      .update({ [columnOf(type)]: value })
      .catch(() => refused.add(id));
  }
  return (await readColumn('plain', type)).map((stored, id) => (refused.has(id) ? 'refused' : stored));
}

async function readColumn(table: string, type: string): Promise<(string | null)[]> {
  const { rows } = await database.client.query<[string | null]>({
    text: `select ${columnOf(type)}::text from ${table} order by id`,
    rowMode: 'array',
  });
  return rows.map(([stored]) => stored);
}

/** What updateRows is to store: the same, but for what pg would store as something else or as garbage. */
async function expectedOf(type: string, value: unknown, byKnex: Stored): Promise<Stored> {
  // pg sends bytes as the binary form of the type.
  if (ArrayBuffer.isView(value)) return /int|real|oid|date|xml/.test(type) ? 'refused' : byKnex;
  // pg writes an array in Postgres's form, a date without quotes.
  const isAsPgWrites = !Array.isArray(value) && !(value instanceof Date);
  if (isAsPgWrites || !['json', 'jsonb', 'jsonb[]'].includes(type)) return byKnex;
  if (type === 'jsonb[]') return value === oneDate ? `{"\\"${at.toJSON()}\\""}` : byKnex;
  const { rows } = await database.client.query(`select $1::${type}::text as text`, [JSON.stringify(value)]);
  return rows[0].text as string;
}

async function write(type: string, ids: readonly number[]): Promise<number> {
  const column = columnOf(type);
  const rows = ids.map((id) => ({ id, [column]: values[id] }));
  return await updateRows(db, 'batch', rows, { key: ['id'], set: [column] });
}

async function compare(type: string): Promise<void> {
  const byKnex = await storedByKnex(type);
  const expected = await Promise.all(values.map((value, id) => expectedOf(type, value, byKnex[id] ?? null)));
  const ids = [...values.keys()];
  const written = ids.filter((id) => expected[id] !== 'refused');
  expect(await write(type, written)).toBe(written.length);
  const stored = await readColumn('batch', type);
  expect(written.map((id) => [values[id], stored[id]])).toEqual(
    written.map((id) => [values[id], expected[id]]),
  );
  const refused = ids.filter((id) => expected[id] === 'refused');
  for (const id of refused.filter((one) => isLong || one % 5 === 0)) {
    await expect(write(type, [id]), inspect(values[id])).rejects.toThrow(/^updateRows: .*column/);
  }
}

describe('updateRows stores what one knex.update stores', () => {
  it.each(types)('in a column of type %s', compare);

  it.each([
    ['local time', false],
    ['UTC, where the application tells pg so', true],
  ])('of dates, in %s', async (_how, inUtc) => {
    const before = process.env['TZ'];
    process.env['TZ'] = 'America/St_Johns';
    pg.defaults.parseInputDatesAsUTC = inUtc;
    try {
      expect(at.getTimezoneOffset()).toBe(150);
      for (const type of ['timestamp', 'timestamptz', 'date', 'text', 'timestamptz[]']) {
        await compare(type);
      }
    } finally {
      pg.defaults.parseInputDatesAsUTC = false;
      if (before === undefined) delete process.env['TZ'];
      else process.env['TZ'] = before;
    }
  });
});
