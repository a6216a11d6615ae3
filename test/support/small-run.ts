import type pg from 'pg';
import { createMigrator } from '../../src/application.ts';
import type { Logger } from '../../src/logger.ts';

/** A run of three chunks in this process, for faults that are tried at each of its messages. */

/** How many rows it has. With these settings its messages come in one order, ten rows a chunk. */
export const smallRows = 30;
export const smallEnv = { UMZUG_CLUSTER_LANES: '1', UMZUG_CLUSTER_CHUNK_SIZE: '10' };

/** Its tables: a trigger writes down every UPDATE of a row. */
export const smallTables = `
  create table t (id int primary key, n int not null default 0);
  create table writes (id int not null);
  create function note_write() returns trigger language plpgsql as
    $$ begin insert into writes values (new.id); return null; end $$;
  create trigger note_write after update on t for each row execute function note_write();`;

/** Puts the tables back to the beginning, and takes the ledger away. */
export const resetSmallTables = `
  drop schema if exists umzug_cluster cascade;
  truncate t, writes;
  insert into t (id) select generate_series(1, ${smallRows});
  analyze t`;

/** Its migration: adds 1 to every row. */
export const smallMigration = `
  export const select = (db) => db('t').select('id');
  export const update = (db, rows) =>
    db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + 1') });`;

/** The same in the order in which the rows are stored, in which they do not stay: its end is a sweep by key. */
export const smallPhysical = `
  export const options = { order: 'physical' };
  ${smallMigration.replace(".select('id')", ".select('id').where('n', 0)")}`;

/** Runs what is pending in a project, in this process alone. */
export async function migrateHere(cwd: string, databaseUrl: string, logger?: Logger): Promise<void> {
  const migrator = await createMigrator({ cwd, databaseUrl, workers: 1, ...(logger && { logger }) });
  try {
    await migrator.up();
  } finally {
    await migrator.close();
  }
}

/** What is wrong after a run; null: every row was written once, and the run is done. */
export async function violationIn(client: pg.Client): Promise<string | null> {
  const { rows: found } = await client.query<Record<string, unknown>>(
    `select (select array_agg(distinct n) from t)::text as n, (select count(*)::int from writes) as writes,
            (select count(distinct id)::int from writes) as ids,
            (select string_agg(state, ',') from umzug_cluster.runs) as runs,
            (select count(*)::int from umzug_cluster.migrations) as executed,
            (select count(*)::int from umzug_cluster.guard_open) as tokens`,
  );
  const right = { n: '{1}', writes: smallRows, ids: smallRows, runs: 'done', executed: 1, tokens: 0 };
  const seen = JSON.stringify(found[0]);
  return seen === JSON.stringify(right) ? null : seen;
}

/** Tries every position with every fate, so many at once, and returns what was wrong. */
export async function atPositions<Fate extends string>(
  positions: readonly number[],
  { fates, atOnce }: { readonly fates: readonly Fate[]; readonly atOnce: number },
  violationAt: (fate: Fate, k: number) => Promise<string | null>,
): Promise<readonly string[]> {
  const left = positions.flatMap((k) => fates.map((fate) => [fate, k] as const));
  const wrong: string[] = [];
  const trying = Array.from({ length: atOnce }, async () => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const violation = await violationAt(...next);
      if (violation !== null) wrong.push(`${next.join(' ')}: ${violation}`);
    }
  });
  await Promise.all(trying);
  return wrong;
}
