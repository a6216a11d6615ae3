import type pg from 'pg';
import { expect } from 'vitest';
import { type Outcome, run } from './cli.ts';
import { withDatabase } from './database.ts';
import { makeProject } from './project.ts';

/** A table of 50 rows, and a copy. */
export const tables = `
  create table t (id int primary key, n int, note text, other int);
  insert into t select i, i, 'old' from generate_series(1, 50) as i;
  create table t_old as table t;`;

/** The source of a migration that sets columns of all rows. */
export const migration = (set: string, options = ''): string => `
  export const options = { undo: true, chunkSize: 10, ${options} };
  export const select = (db) => db('t').select('id');
  export const update = (db, rows) =>
    db.raw('update t set ${set} where id = any (?)', [rows.map(({ id }) => id)]);`;

/** It changes two columns. */
export const ten = migration("n = -n, note = \\'new\\'");

/** What a test does after `up`. */
export interface Upped {
  readonly client: pg.Client;
  readonly again: (name: string, source: string) => void;
  readonly type: (...args: readonly string[]) => Promise<Outcome>;
}

/** Runs `up` of a migration `a` on tables. */
export async function afterUp(
  source: string,
  sql: string,
  work: (upped: Upped) => Promise<void>,
): Promise<void> {
  await withDatabase(async ({ url, client }) => {
    await client.query(sql);
    const project = makeProject({ 'a.ts': source });
    const place = { cwd: project.dir, url };
    const type = (...args: readonly string[]): Promise<Outcome> => run([...args, '--workers', '1'], place);
    expect(await type('up')).toMatchObject({ code: 0 });
    await work({ client, type, again: (name, text) => project.write(name, text) });
  });
}

/** Rows of `t` that are not as in its copy. */
export const changedRows = `select o.id from t_old as o full join t using (id) where o::text is distinct from t::text order by 1`;
