import { expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const rowCount = 3_000;

/** Counts in `n` how often `update` got a row, found again by the number `no` that no key holds. */
const byRows = (where = ''): string => `
  export const select = (db) => db('t').select('no')${where};
  export const update = (db, rows) => db.raw(
    'update t set n = n + v.times from (select no, count(*) as times from unnest(?::int[]) as no group by no) as v where t.no = v.no',
    [rows.map(({ no }) => no)]);`;

/** The same by the query that is cut to the chunk. */
const bySets = (where = ''): string => `
  import { setBased } from 'umzug-cluster';
  export const select = (db) => db('t').select('no')${where};
  export const update = setBased((chunk, db) => chunk.update({ n: db.raw('n + 1') }));`;

/** Columns of the key, the key, and how a row's key is made from its number `no`. */
const keys: readonly (readonly [string, string, string, string])[] = [
  ['bigint', 'k bigint', 'k', '9007199254740993 + no * 3'],
  ['negative and extreme bigint', 'k bigint', 'k', '-9223372036854775808 + no::numeric * 6148914691236517'],
  ['integer with gaps', 'k int', 'k', 'no * no'],
  ['uuid', 'k uuid', 'k', 'md5(no::text)::uuid'],
  ['text', 'k text', 'k', `(array['é', 'Z', 'a', '', ' ', '''', '\\', 'ß', '-', '🙂'])[no % 10 + 1] || no`],
  ['text in another collation', 'k text collate "C"', 'k', `chr(33 + no % 94) || no`],
  [
    'timestamptz of microseconds',
    'k timestamptz',
    'k',
    `'2024-03-31T00:59:59Z'::timestamptz + no * interval '1 us'`,
  ],
  ['date', 'k date', 'k', `date '1700-01-01' + no * 37`],
  ['numeric', 'k numeric', 'k', '(no - 1500) * 0.000000000000000000001'],
  ['two columns', 'a int, b text', 'a, b', `no % 7, 'x' || no`],
  [
    'three columns',
    'a uuid, b timestamptz, c bigint',
    'a, b, c',
    `md5((no % 3)::text)::uuid, '2024-01-01Z'::timestamptz + (no % 5) * interval '1 us', no`,
  ],
  ['a quoted name', '"Key ""of"" it?" int', '"Key ""of"" it?"', 'no'],
];

const styles = [['rows', byRows()] as const, ['sets', bySets()] as const];

it.each(keys.flatMap((key) => styles.map((style) => [...key, ...style] as const)))(
  'visits every row once: %s (%s; %s: %s), by %s',
  async (_title, columns, key, values, _style, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`
        create table t (${columns}, no int not null, n int not null default 0, primary key (${key}));
        insert into t (${key}, no) select ${values}, no from generate_series(1, ${rowCount}) as no;
        create index on t (no);
        analyze t`);
      const { code, stdout, stderr } = await run(['up', '--workers', '1', '--chunk-size', '170', '--json'], {
        cwd: makeProject({ 'a.ts': source }).dir,
        url,
      });
      expect(code, stdout + stderr).toBe(0);
      const { rows } = await client.query('select n, count(*)::int from t group by n order by n');
      expect(rows).toEqual([{ n: 1, count: rowCount }]);
      expect(JSON.parse(stdout)).toMatchObject({ migrations: [{ name: 'a', rows: rowCount }] });
    });
  },
);

it.each([
  ['one row', 1, '', 1],
  ['no row', 0, '', 0],
  ['no row that matches', 500, `.where('no', '>', 500)`, 0],
  ['some rows that match', 500, `.whereRaw('no % 10 = 3')`, 50],
])('visits the rows of a table of %s', async (_title, count, where, visited) => {
  for (const source of [byRows(where), bySets(where)]) {
    await withDatabase(async ({ url, client }) => {
      await client.query(`
        create table t (k bigint primary key, no int not null, n int not null default 0);
        insert into t (k, no) select no, no from generate_series(1, ${count}) as no`);
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const { code, stdout, stderr } = await run(['up', '--workers', '2', '--json'], place);
      expect(code, stdout + stderr).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ migrations: [{ name: 'a', rows: visited }] });
      const { rows } = await client.query(
        'select count(*) filter (where n = 1)::int as once, count(*) filter (where n > 1)::int as more from t',
      );
      expect(rows).toEqual([{ once: visited, more: 0 }]);
      expect(await run(['up'], place)).toMatchObject({ code: 0, stdout: 'nothing is pending\n' });
    });
  }
});
