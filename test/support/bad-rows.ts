import type pg from 'pg';
import { counterRows } from './project.ts';

/** Rows of the counters that fail. */
export const bad = [1, 2, 7_777, 15_000, counterRows];

/** Has the bad rows fail by a constraint. */
export const byConstraint = `
  alter table counters add column is_bad boolean not null default false;
  update counters set is_bad = true where id = any ('{${bad.join(',')}}');
  truncate writes;
  alter table counters add constraint not_bad check (not is_bad or n = 0);`;

/** Adds 1 to every counter, and takes it away on the way down. */
export const rowStyle = `
  const change = (n) => (db, rows) =>
    db('counters').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + ?', [n]) });
  export const select = (db) => db('counters').select('id');
  export const update = change(1);
  export const down = { select, update: change(-1) };`;

/** How many counters have which value. */
export async function values(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query('select n, count(*)::int as rows from counters group by n order by n');
  return rows;
}
