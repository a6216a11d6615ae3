import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { connect } from './database.ts';

/** Migrations of a table `t (id, version, n)` whose select drains; a trigger notes each update of `n` in `writes`. */

export const noteWrites = (idType: string): string => `
  create table writes (id ${idType} not null);
  create function note_write() returns trigger language plpgsql as
    $$ begin insert into writes values (new.id); return null; end $$;
  create trigger note_write after update of n on t for each row execute function note_write();`;

/**
 * A migration by rows or by sets, and back; `options` as JavaScript, each chunk takes so many seconds more until
 * `hurry`.
 */
export type DrainingMigration = (options: string, seconds?: number) => string;

export const byRows: DrainingMigration = (options, seconds = 0) => `
  import { existsSync as isThere } from 'node:fs';
  export const options = ${options};
  const change = (n, version) => async (db, rows) => {
    if (!isThere(new URL('../enough', import.meta.url))) await db.raw('select pg_sleep(${seconds})');
    await db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + ?', [n]), version });
  };
  export const select = (db) => db('t').select('id').whereNull('version');
  export const update = change(1, 2);
  export const down = { select: (db) => db('t').select('id').where('version', 2), update: change(-1, null) };`;

export const bySets: DrainingMigration = (options, seconds = 0) => `
  import { existsSync as isThere } from 'node:fs';
  import { setBased } from 'umzug-cluster';
  export const options = ${options};
  const change = (n, version) => setBased(async (chunk, db) => {
    if (!isThere(new URL('../enough', import.meta.url))) await db.raw('select pg_sleep(${seconds})');
    await chunk.update({ n: db.raw('n + ?', [n]), version });
  });
  export const select = (db) => db('t').whereNull('version');
  export const update = change(1, 2);
  export const down = { select: (db) => db('t').where('version', 2), update: change(-1, null) };`;

/** How many rows have which number of updates, and how often the most written row was written. */
export async function drained(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query(
    `select (select json_object_agg(n, count) from (select n, count(*) from t group by n) as by_n) as n,
            (select max(count)::int from (select count(*) from writes group by id) as by_id) as most`,
  );
  return rows[0];
}

/** Updates random rows all the while, so that they move; returns how to stop it, and how many it has written. */
export function moveAllTheWhile(url: string): () => Promise<number> {
  let isOver = false;
  const moving = (async () => {
    const client = await connect(url);
    let hits = 0;
    while (!isOver) {
      const written = client.query(
        `update t set hits = hits + 1, pad = repeat('y', 20 + (random() * 60)::int)
         where id in (select id from t tablesample system (2) limit 5)`,
      );
      // As any application does: it locks rows in no order, so that it and a chunk may deadlock.
      const { rowCount } = await written.catch((error: { readonly code?: string }) => {
        if (error.code === '40P01') return { rowCount: 0 };
        throw error;
      });
      hits += rowCount ?? 0;
      await sleep(8);
    }
    await client.end();
    return hits;
  })();
  return async () => {
    isOver = true;
    return await moving;
  };
}
