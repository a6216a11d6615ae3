import type { FileHashes } from '../core/values/file-drift.ts';
import type { Session } from '../postgres/session.ts';
import type { LedgerNames } from './schema.ts';

/** A row of the table that Umzug's storage reads. */
export interface ExecutedMigration extends FileHashes {
  readonly name: string;
  readonly kind: 'data' | 'schema';
  readonly executedAt: string;
  /** It was recorded without having been run here. */
  readonly isBaseline: boolean;
}

/** All executed migrations, in order of name. */
export async function listExecuted(session: Session, names: LedgerNames): Promise<ExecutedMigration[]> {
  const result = await session.query(
    `select name, kind, to_json(executed_at) #>> '{}' as executed, file_sha256, imports, is_baseline
     from ${names.migrations} order by name collate "C"`,
  );
  return result.rows.map((row) => ({
    name: row.name as string,
    kind: row.kind as 'data' | 'schema',
    executedAt: row.executed as string,
    fileSha256: row.file_sha256 as string,
    imports: row.imports as FileHashes['imports'],
    isBaseline: row.is_baseline === true,
  }));
}

/** True where the migration is recorded as executed. */
export async function isExecuted(session: Session, names: LedgerNames, name: string): Promise<boolean> {
  const result = await session.query(`select from ${names.migrations} where name = $1`, [name]);
  return result.rowCount === 1;
}

/** Records migrations as executed that were not run here; those that are recorded stay as they are. */
export async function recordBaseline(
  session: Session,
  names: LedgerNames,
  migrations: readonly (FileHashes & { readonly name: string; readonly kind: 'data' | 'schema' })[],
): Promise<void> {
  await session.query(
    `insert into ${names.migrations} (name, kind, file_sha256, imports, is_baseline, executed_at)
     select m.name, m.kind, m."fileSha256", m.imports, true, clock_timestamp()
     from json_to_recordset($1::json) as m (name text, kind text, "fileSha256" text, imports jsonb)
     on conflict (name) do nothing`,
    [
      JSON.stringify(
        migrations.map(({ name, kind, fileSha256, imports }) => ({ name, kind, fileSha256, imports })),
      ),
    ],
  );
}

/**
 * Records a migration as executed; recording it twice changes nothing, but one that was only marked as executed
 * has been run now.
 */
export async function recordExecuted(
  session: Session,
  names: LedgerNames,
  migration: FileHashes & {
    readonly name: string;
    readonly kind: 'data' | 'schema';
    readonly runId: string | null;
  },
): Promise<void> {
  await session.query(
    `insert into ${names.migrations} as m (name, kind, run_id, file_sha256, imports, is_baseline, executed_at)
     values ($1, $2, $3::bigint, $4, $5::jsonb, false,
             coalesce((select finished_at from ${names.runs} where id = $3::bigint), clock_timestamp()))
     on conflict (name) do update
     set run_id = excluded.run_id, is_baseline = false, executed_at = clock_timestamp(),
         file_sha256 = excluded.file_sha256, imports = excluded.imports
     where m.is_baseline`,
    [
      migration.name,
      migration.kind,
      migration.runId,
      migration.fileSha256,
      JSON.stringify(migration.imports),
    ],
  );
}

/** Notes other files for an executed migration. */
export async function acceptFiles(
  session: Session,
  names: LedgerNames,
  name: string,
  { fileSha256, imports }: FileHashes,
): Promise<void> {
  await session.query(
    `update ${names.migrations} set file_sha256 = $2, imports = $3::jsonb where name = $1`,
    [name, fileSha256, JSON.stringify(imports)],
  );
}

/** Takes a migration out of the executed ones. */
export async function forgetExecuted(session: Session, names: LedgerNames, name: string): Promise<void> {
  await session.query(`delete from ${names.migrations} where name = $1`, [name]);
}
