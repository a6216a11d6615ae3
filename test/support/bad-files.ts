import type { BadInput } from './bad-input.ts';

/** Migration files that are bad, and tables for them. */

/** The test's own database. */
export const own = (url: string): string => url;

/** Exports that are right, to stand beside one that is not. */
export const select = `export const select = (db) => db('t').select('id');`;
export const update = `export const update = (db, rows) => db('t').whereIn('id', rows.map(({ id }) => id)).update({ n: 1 });`;

export const tables = `
  create table t (id int primary key, n int not null default 0);
  insert into t (id) select generate_series(1, 100);
  create table u (t_id int not null, id int primary key);
  insert into u select i % 10 + 1, i from generate_series(1, 40) as i;
  create table keyless (id int, n int) partition by range (id);
  create table nullable (id int unique, n int);
  create view v as select * from t;
  create materialized view m as select * from t;
  create sequence s;
  create function noisy(i int) returns int language plpgsql volatile as
    $$ begin insert into keyless values (i); return i; end $$;
  analyze`;

/** A migration file of one text, run on the tables above. */
export const file = (
  what: string,
  text: string,
  says: BadInput['says'],
  more: Partial<BadInput> = {},
): BadInput => ({
  what,
  url: own,
  files: { 'migrations/0007_x.ts': text },
  says,
  ...more,
});
