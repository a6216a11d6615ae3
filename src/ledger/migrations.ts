import type { FileHashes } from '../core/values/file-drift.ts';
import { LedgerPart } from './part.ts';

const outOfOrderSince = 4;

/** A row of the table that Umzug's storage reads. */
export interface ExecutedMigration extends FileHashes {
  readonly name: string;
  readonly kind: 'data' | 'schema';
  readonly executedAt: string;
  /** It was recorded without having been run here. */
  readonly isBaseline: boolean;
}

/** A migration whose table was dropped and made again since it ran, or since its run began. */
export interface Recreated {
  readonly name: string;
  /** `public.people` */
  readonly table: string;
}

/** The migrations that are executed, and the tables that they were executed on. */
export class Migrations extends LedgerPart {
  /** All executed migrations, in order of name. */
  async list(): Promise<ExecutedMigration[]> {
    const result = await this.session.query(
      `select name, kind, to_json(executed_at) #>> '{}' as executed, file_sha256, imports, is_baseline
       from ${this.names.migrations} order by name collate "C"`,
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
  async has(name: string): Promise<boolean> {
    const result = await this.session.query(`select from ${this.names.migrations} where name = $1`, [name]);
    return result.rowCount === 1;
  }

  /** Records migrations as executed that were not run here; those that are recorded stay as they are. */
  async recordBaseline(
    migrations: readonly (FileHashes & { readonly name: string; readonly kind: 'data' | 'schema' })[],
  ): Promise<void> {
    await this.session.query(
      `insert into ${this.names.migrations} (name, kind, file_sha256, imports, is_baseline, executed_at)
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
  async record(
    migration: FileHashes & {
      readonly name: string;
      readonly kind: 'data' | 'schema';
      readonly runId: string | null;
    },
  ): Promise<void> {
    await this.session.query(
      `insert into ${this.names.migrations} as m (name, kind, run_id, file_sha256, imports, is_baseline, executed_at)
       values ($1, $2, $3::bigint, $4, $5::jsonb, false,
               coalesce((select finished_at from ${this.names.runs} where id = $3::bigint), clock_timestamp()))
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

  /** Notes in which folder the file of a migration lies: others that share the ledger do not miss it. */
  async noteFolder(name: string, folder: string): Promise<void> {
    await this.session.query(
      `insert into ${this.names.folders} (migration, folder) values ($1, $2)
       on conflict (migration) do update set folder = excluded.folder`,
      [name, this.session.storable(folder)],
    );
  }

  /** The folders of migrations, by name. A ledger of the version before knows none. */
  async folders(): Promise<ReadonlyMap<string, string>> {
    if (this.names.version < foldersSince) return new Map();
    const { rows } = await this.session.query(`select migration, folder from ${this.names.folders}`);
    return new Map(rows.map((row) => [row['migration'] as string, row['folder'] as string]));
  }

  /** Notes other files for an executed migration. */
  async acceptFiles(name: string, { fileSha256, imports }: FileHashes): Promise<void> {
    await this.session.query(
      `update ${this.names.migrations} set file_sha256 = $2, imports = $3::jsonb where name = $1`,
      [name, fileSha256, JSON.stringify(imports)],
    );
  }

  /** Has these migrations run later, though they sort before executed ones. */
  async allow(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    await this.session.query(
      `insert into ${this.names.outOfOrder} (name) select pg_catalog.unnest($1::text[]) on conflict do nothing`,
      [names],
    );
  }

  /** The migrations that may run though they sort before executed ones; a ledger of the version before has none. */
  async allowed(): Promise<readonly string[]> {
    if (this.names.version < outOfOrderSince) return [];
    const { rows } = await this.session.query(`select name from ${this.names.outOfOrder} order by name`);
    return rows.map(({ name }) => String(name));
  }

  /** Takes a migration out of the executed ones. */
  async forget(name: string): Promise<void> {
    await this.session.query(`delete from ${this.names.migrations} where name = $1`, [name]);
  }

  /**
   * Migrations whose rows are gone with their table. A restore makes the tables of the ledger again as well, and does not
   * count; nor does, unless a run is in progress or one migration is asked for, a table that took the place of another
   * which is still there: the rows may have been copied.
   */
  async recreatedTables(name: string | null = null): Promise<readonly Recreated[]> {
    const { rows } = await this.session.query(
      `select r.name, n.nspname || '.' || c.relname as relation
       from (select distinct on (name) tableoid, name, state, plan from ${this.names.runs}
             where direction = 'up' and ($1::text is null or name = $1) order by name, ${this.names.runs}.id desc) as r
       join pg_catalog.pg_namespace as n on n.nspname = r.plan #>> '{base,schema}'
       join pg_catalog.pg_class as c on c.relnamespace = n.oid and c.relname = r.plan #>> '{base,name}'
       where r.state <> 'reverted' and r.plan ->> 'ledger' = r.tableoid::text
         and c.oid::text <> r.plan #>> '{base,oid}'
         and ($1::text is not null or r.state <> 'done' or not exists (
           select from pg_catalog.pg_class as old where old.oid = (r.plan #>> '{base,oid}')::oid))
       order by r.name collate "C"`,
      [name],
    );
    return rows.map((row) => ({ name: String(row.name), table: String(row.relation) }));
  }

  /** Takes the tables of these migrations as they are from now on. */
  async acceptTables(migrations: readonly string[]): Promise<void> {
    if (migrations.length === 0) return;
    await this.session.query(`update ${this.names.runs} set plan = plan - 'ledger' where name = any ($1)`, [
      migrations,
    ]);
  }
}

const foldersSince = 4;
