import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type pg from 'pg';
import { type MigrationOutcome, type Progress, createMigrator } from '../../src/index.ts';
import { until } from './cli.ts';
import { makeProject } from './project.ts';

/** A run in this process, with what it read and what it said. */
export interface Measured {
  readonly outcome: MigrationOutcome;
  readonly progress: readonly Progress[];
  /** Of the table and its indexes, dead or alive, matching or not. */
  readonly read: { readonly rows: number; readonly pages: number };
  readonly log: readonly Record<string, unknown>[];
}

/** Runs the only migration of a project with these cluster settings, and measures what it read of `table`. */
export async function upMeasured(
  url: string,
  client: pg.Client,
  { table, source, settings = {} }: { table: string; source: string; settings?: object },
): Promise<Measured> {
  const { dir } = makeProject({ 'a.ts': source });
  const cluster = { workers: 1, lanes: 1, ...settings };
  writeFileSync(
    path.join(dir, 'knexfile.ts'),
    `export default { client: 'pg', migrations: { cluster: ${JSON.stringify(cluster)} } };`,
  );
  const before = await countersOf(client, table);
  const progress: Progress[] = [];
  const log: Record<string, unknown>[] = [];
  const note = (fields: object): void => void log.push({ ...fields });
  const logger = { debug: note, info: note, warn: note, error: note, child: () => logger };
  const migrator = await createMigrator({ cwd: dir, databaseUrl: url, logger: logger as never });
  migrator.on('progress', (reading) => progress.push(reading));
  try {
    const [outcome] = await migrator.up();
    if (outcome === undefined) throw new Error('nothing was run');
    await migrator.close();
    const after = await countersOf(client, table);
    const read = { rows: after.rows - before.rows, pages: after.pages - before.pages };
    return { outcome, progress, log, read };
  } finally {
    await migrator.close();
  }
}

/** What the server has counted so far, once every other session of the database has ended and reported. */
async function countersOf(client: pg.Client, table: string): Promise<{ rows: number; pages: number }> {
  await until('the other sessions have reported', async () => {
    const others = `select from pg_stat_activity where datname = current_database()
      and pid <> pg_backend_pid() and backend_type = 'client backend'`;
    return (await client.query(others)).rowCount === 0;
  });
  await client.query('select pg_stat_force_next_flush()');
  const { rows } = await client.query<{ rows: number; pages: number }>(
    `select (seq_tup_read + coalesce(idx_tup_fetch, 0))::float8 as rows,
            (heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0))::float8 as pages
     from pg_stat_user_tables join pg_statio_user_tables using (relid)
     where relid = $1::regclass`,
    [table],
  );
  return rows[0] ?? { rows: Number.NaN, pages: Number.NaN };
}
