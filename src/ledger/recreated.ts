import type { Session } from '../postgres/session.ts';
import type { LedgerNames } from './schema.ts';

/** A migration whose table was dropped and made again since it ran, or since its run began. */
export interface Recreated {
  readonly name: string;
  /** `public.people` */
  readonly table: string;
}

/**
 * Migrations whose rows are gone with their table. A restore makes the tables of the ledger anew as well, and does not
 * count; nor does, unless a run is in progress or one migration is asked for, a table that took the place of another
 * which is still there: the rows may have been copied.
 */
export async function recreatedTables(
  session: Session,
  names: LedgerNames,
  name: string | null = null,
): Promise<readonly Recreated[]> {
  const { rows } = await session.query(
    `select r.name, n.nspname || '.' || c.relname as relation
     from (select distinct on (name) tableoid, name, state, plan from ${names.runs}
           where direction = 'up' and ($1::text is null or name = $1) order by name, ${names.runs}.id desc) as r
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
export async function acceptTables(
  session: Session,
  names: LedgerNames,
  migrations: readonly string[],
): Promise<void> {
  if (migrations.length === 0) return;
  await session.query(`update ${names.runs} set plan = plan - 'ledger' where name = any ($1)`, [migrations]);
}
