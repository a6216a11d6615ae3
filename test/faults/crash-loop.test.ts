import { expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import type { Outcome } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { countersOf, makeProject } from '../support/project.ts';

const deadly = 177;
const allRows = 400;
const timeout = 240_000;

// As where memory runs out, or a container is killed: no word, no exit code of its own.
const source = `
  export const select = (db) => db('counters').select('id');
  export const update = async (db, rows) => {
    if (rows.some(({ id }) => id === '${deadly}')) process.kill(process.pid, 'SIGKILL');
    await db('counters').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + 1') });
  };
  export const down = { select, update: (db, rows) =>
    db('counters').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n - 1') }) };`;

// Three halvings of 8 rows; a part that succeeds on the way lets the chunk grow again, which costs deaths too.
const mostStarts = 20;

it(
  'converges though a row kills every process that meets it, restarted again and again',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(countersOf(allRows));
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      let starts = 0;
      let last: Outcome;
      do {
        last = await run(['up', '--workers', '1', '--chunk-size', '8'], place);
        starts += 1;
      } while (last.code === null && starts <= mostStarts);
      expect(last.code, last.stderr).toBe(1);
      expect(last.stderr).toMatch(
        new RegExp(`row ${deadly}: 2 processes died, or lost the database for good,`),
      );
      expect(starts).toBeLessThanOrEqual(mostStarts);
      const { rows } = await client.query(
        `select n, count(*)::int as rows, min(id)::int as first from counters group by n order by n`,
      );
      expect(rows).toEqual([
        { n: 0, rows: 1, first: deadly },
        { n: 1, rows: allRows - 1, first: 1 },
      ]);
      expect(await run(['down'], place), 'the row is left out').toMatchObject({ code: 0 });
      expect((await client.query('select distinct n from counters')).rows).toEqual([{ n: 0 }]);
    });
  },
  timeout,
);

// Of each of three rows the first death is bad luck, so is the second; before the first row, the halving of 2.
const mostStartsInVain = 15;

it(
  'says so where every row kills its process, and stops, though it is restarted again and again',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query('create table counters (id bigint primary key, n int not null default 0)');
      await client.query('insert into counters (id) select generate_series(1, 100); analyze counters');
      const always = source.replace(/if \(rows.some.*\)\) process/, 'process');
      expect(always).not.toBe(source);
      const place = { cwd: makeProject({ 'a.ts': always }).dir, url };
      let starts = 0;
      let last: Outcome;
      do {
        last = await run(['up', '--workers', '1', '--chunk-size', '2'], place);
        starts += 1;
      } while (last.code === null && starts <= mostStartsInVain);
      expect(last.code, last.stderr).toBe(1);
      expect(last.stderr).toMatch(
        /update fails everywhere: 2 processes died, or lost the database for good, while they worked on this row/,
      );
      expect(starts).toBeLessThanOrEqual(mostStartsInVain);
      expect((await client.query('select distinct n from counters')).rows).toEqual([{ n: 0 }]);
    });
  },
  timeout,
);
