import type { Session } from '../postgres/session.ts';
import type { LedgerNames } from './schema.ts';

/** A row of the table that Umzug's storage reads. */
export interface ExecutedMigration {
  readonly name: string;
  readonly kind: 'data' | 'schema';
  readonly executedAt: string;
  readonly fileSha256: string;
}

/** All executed migrations, in order of name. */
export async function listExecuted(session: Session, names: LedgerNames): Promise<ExecutedMigration[]> {
  const result = await session.query(
    `select name, kind, to_json(executed_at) #>> '{}' as executed, file_sha256
     from ${names.migrations} order by name collate "C"`,
  );
  return result.rows.map((row) => ({
    name: row.name as string,
    kind: row.kind as 'data' | 'schema',
    executedAt: row.executed as string,
    fileSha256: row.file_sha256 as string,
  }));
}

/** True where the migration is recorded as executed. */
export async function isExecuted(session: Session, names: LedgerNames, name: string): Promise<boolean> {
  const result = await session.query(`select from ${names.migrations} where name = $1`, [name]);
  return result.rowCount === 1;
}

/** Records a migration as executed; recording it twice changes nothing. */
export async function recordExecuted(
  session: Session,
  names: LedgerNames,
  migration: { name: string; kind: 'data' | 'schema'; runId: string | null; fileSha256: string },
): Promise<void> {
  await session.query(
    `insert into ${names.migrations} (name, kind, run_id, file_sha256)
     values ($1, $2, $3::bigint, $4)
     on conflict (name) do nothing`,
    [migration.name, migration.kind, migration.runId, migration.fileSha256],
  );
}

/** Takes a migration out of the executed ones. */
export async function forgetExecuted(session: Session, names: LedgerNames, name: string): Promise<void> {
  await session.query(`delete from ${names.migrations} where name = $1`, [name]);
}
