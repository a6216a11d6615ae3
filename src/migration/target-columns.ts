import type { Knex } from 'knex';
import { noteUpdate, writesNothing } from './known-update.ts';
import type { Form } from './values.ts';

/** A column that `updateRows` reads or writes. */
export interface TargetColumn {
  /** Its name in the database. */
  readonly name: string;
  /** Its name in the rows. */
  readonly property: string;
  /** Base type, qualified, without typmod. */
  readonly type: string;
  /** The base type as Postgres names it in its messages. */
  readonly shown: string;
  readonly form: Form;
}

interface Row {
  readonly name: string;
  readonly type: string;
  readonly shown: string;
  readonly form: Form;
}

// The base type of a domain, without typmod: the assignment then checks lengths as a plain UPDATE does,
// where an explicit cast would truncate in silence.
const sql = `
  with recursive kinds as (
    select a.attname, a.atttypid as oid from pg_catalog.pg_attribute as a
    where a.attrelid = pg_catalog.to_regclass(?) and a.attnum > 0 and not a.attisdropped
    union all
    select kinds.attname, t.typbasetype from kinds join pg_catalog.pg_type as t on t.oid = kinds.oid
    where t.typtype = 'd'
  )
  select kinds.attname::text as name,
    case when t.typname in ('json', 'jsonb') then 'json'
         when t.typname = 'bytea' then 'bytes'
         when t.typcategory = 'A' and e.typname in ('json', 'jsonb') then 'json-array'
         when t.typcategory = 'A' then 'array'
         when t.typcategory = 'S' then 'text'
         else 'other' end as form,
    pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.typname) as type,
    pg_catalog.format_type(t.oid, null) as shown
  from kinds
  join pg_catalog.pg_type as t on t.oid = kinds.oid
  join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
  left join pg_catalog.pg_type as e on e.oid = t.typelem
  where t.typtype <> 'd'`;

/** The columns of a table by its written name; none where there is no such table. */
export async function readTarget(db: Knex, written: string): Promise<readonly TargetColumn[]> {
  const statement = db.raw(sql, [written]);
  noteUpdate(statement, writesNothing);
  const result: unknown = await statement;
  return (result as { rows: readonly Row[] }).rows.map((row) => ({ ...row, property: row.name }));
}
