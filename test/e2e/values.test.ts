import path from 'node:path';
import { expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const modules = path.resolve(import.meta.dirname, '../../node_modules');

// A row of each type, one of nulls, one of what is hard on JavaScript.
const table = `
  create type mood as enum ('sad', 'happy');
  create type place as (x int, y text);
  create domain short as varchar(5);
  create table t (
    id bigint primary key, i2 smallint, i4 int, i8 bigint, n numeric, f4 real, f8 float8, cash money, b boolean,
    name text, code short, c char(4), feeling mood, uid uuid, raw bytea, d date, tm time, ts timestamp,
    tz timestamptz, wait interval, doc jsonb, js json, ints int[], grid int[], bigs bigint[], texts text[],
    docs jsonb[], times timestamptz[], moods mood[], during int4range, span tstzrange, ip inet, bits bit(4),
    at point, area circle, words tsvector, spot place, done boolean not null default false
  );
  insert into t values
    (1, -1, 2, 9007199254740993, 12345678901234567890.123, 1.1, 0.1, 12.5, true, 'ü', 'abc', 'ab', 'sad',
     'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\\x00ff', '2024-02-29', '23:59:59.123456',
     '2025-05-18 22:04:04.123456', '2025-05-18 22:04:04.123456+02', '1 year 2 mons -3 days 04:05:06.7',
     '{"a": [1, null, 1e30]}', '[ 1, "x" ]', '{1,null}', '{{1,2},{3,4}}', '{9007199254740993}',
     '{"a,b","c\\"d",null,""}', '{"{\\"a\\": 1}"}', '{2024-01-01 00:00:00Z}', '{sad,happy}', '[1,5)',
     '[2024-01-01 00:00:00Z,infinity)', '192.168.0.1/24', '0101', '(1.5,2)', '<(1,2),3>', 'a:1 b:2', '(1,"x y")'),
    (2, 32767, null, -9223372036854775808, 'NaN', 'NaN', 'Infinity', 0, false, '', '', '', 'happy', null, '',
     '-infinity', '24:00', 'infinity', '0001-01-01 00:00:00Z BC', '-1 microseconds', 'null', 'null', '{}',
     '{}', '{}', '{NULL,"NULL"}', '{"null",NULL}', '{infinity}', '{}', 'empty', 'empty', '::1', '0000',
     '(0,-0)', null, '', '(,)');
  insert into t (id) values (3);`;

// The update compares its rows with those that the application's own knex reads: same driver, same knexfile.
const migration = `
  import knex from '${modules}/knex/knex.mjs';
  import { isDeepStrictEqual, inspect } from 'node:util';
  import config from '../knexfile.ts';
  export const select = (db) => db('t').where('t.done', false).queryContext({ by: 'me' });
  export const update = async (db, rows) => {
    const own = knex({ ...config, connection: process.env.DATABASE_URL });
    const expected = await own('t').whereIn('id', rows.map((row) => String(row.id))).orderBy('id').queryContext({ by: 'me' });
    await own.destroy();
    for (const [index, row] of rows.entries()) {
      for (const [name, value] of Object.entries(expected[index])) {
        if (!isDeepStrictEqual(row[name], value)) throw new Error(name + ': ' + inspect(row[name]) + ' not ' + inspect(value));
      }
      if (!isDeepStrictEqual(Object.keys(row), Object.keys(expected[index]))) throw new Error(Object.keys(row).join());
    }
    await db('seen').insert({ said: inspect(rows, { depth: 9, sorted: true }) });
    await db('t').whereIn('id', rows.map((row) => String(row.id))).update({ done: true });
  };`;

const joined = migration.replace(`db('t')`, `db('t').join('t as u', 'u.id', 't.id').select('t.*')`);

const parsers = `
  import pg from '${modules}/pg/esm/index.mjs';
  pg.types.setTypeParser(20, BigInt);
  pg.types.setTypeParser(1016, (text) => text.slice(1, -1).split(',').filter(Boolean).map(BigInt));
  pg.types.setTypeParser(1700, (text) => ({ decimal: text }));
  pg.types.setTypeParser(1082, (text) => text);
  pg.types.setTypeParser(3802, (text) => ({ parsed: JSON.parse(text) }));
  pg.types.setTypeParser(3904, (text) => ['range', text]);
  const postProcessResponse = (result, context) =>
    Array.isArray(result) ? result.map((row) => ({ ...row, seenIn: context })) : result;
  export default { client: 'pg', postProcessResponse };`;

const plain = `export default { client: 'pg' };`;

it.each([
  ['pg’s own parsers', plain, migration, /i8: '9007199254740993'/],
  ['pg’s own parsers, over a join', plain, joined, /n: '12345678901234567890.123'/],
  ['the parsers of the knexfile', parsers, migration, /i8: 9007199254740993n/],
  ['the parsers of the knexfile, over a join', parsers, joined, /n: { decimal: 'NaN' }/],
])('update gets what the application’s own knex reads: %s', async (_how, knexfile, source, said) => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`${table} create table seen (said text)`);
    const project = makeProject({ 'a.ts': source, '../knexfile.ts': knexfile });
    const { code, stderr } = await run(['up', '--workers', '2', '--chunk-size', '2'], {
      cwd: project.dir,
      url,
    });
    expect(code, stderr).toBe(0);
    const { rows } = await client.query(`select string_agg(said, '') as said from seen`);
    expect(rows[0].said).toMatch(said);
    expect((await client.query('select from t where not done')).rowCount).toBe(0);
  });
});

it('a value that does not fit is bad data: its row is set aside, all others are migrated', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`
      create table docs (id int primary key, n int, doc jsonb);
      insert into docs select i, i from generate_series(1, 300) as i;
      update docs set n = null where id in (70, 200);`);
    const source = `
      import { updateRows } from 'umzug-cluster';
      export const select = (db) => db('docs').select('id', 'n');
      export const update = (db, rows) => {
        const changed = rows.map(({ id, n }) => ({ id, doc: { half: n === null ? NaN : n / 2 } }));
        return updateRows(db, 'docs', changed, { key: ['id'], set: ['doc'] });
      };`;
    const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
    const { code, stderr } = await run(['up', '--workers', '1', '--chunk-size', '50'], place);
    expect(code, stderr).toBe(1);
    expect(stderr).toMatch(/^error: a, up: 2 rows are quarantined$/m);
    expect(stderr).toMatch(
      /row 70: updateRows: row 1 has a value .* column "doc" \(jsonb\) of "docs": NaN or Infinity in JSON$/m,
    );
    const { rows } = await client.query(
      `select count(*) filter (where doc->>'half' = (n / 2.0)::float8::text)::int as done,
              array_agg(id order by id) filter (where doc is null) as left from docs`,
    );
    expect(rows).toEqual([{ done: 298, left: [70, 200] }]);
  });
});
