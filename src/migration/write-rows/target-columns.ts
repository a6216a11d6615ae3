import type { Knex } from 'knex';
import { noteUpdate, writesNothing } from '../handle/known-update.ts';
import type { Form } from './values.ts';

/** A column that a helper reads or writes. */
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
  /** Of a key column: its `=`, qualified; null: Postgres's own. */
  readonly equal: string | null;
}

interface Row {
  readonly name: string;
  readonly type: string;
  readonly shown: string;
  readonly form: Form;
  readonly equal: string | null;
}

// The base type of a domain, without typmod: the assignment then checks lengths as a plain UPDATE does,
// where an explicit cast would truncate in silence.
// Every name is qualified, since the author's search path is in force; of an extension's type (citext), so is its own =.
const sql = `
  with recursive kinds as (
    select a.attname, a.atttypid as oid from pg_catalog.pg_attribute as a
    where a.attrelid operator(pg_catalog.=) pg_catalog.to_regclass(?)::pg_catalog.oid
      and (a.attnum operator(pg_catalog.>) 0 or a.attname operator(pg_catalog.=) any (?::pg_catalog.name[]))
      and not a.attisdropped
    union all
    select kinds.attname, t.typbasetype
    from kinds join pg_catalog.pg_type as t on t.oid operator(pg_catalog.=) kinds.oid
    where t.typtype operator(pg_catalog.=) 'd'
  )
  select kinds.attname::pg_catalog.text as name,
    case when t.typname operator(pg_catalog.=) any ('{json,jsonb}'::pg_catalog.name[]) then 'json'
         when t.typname operator(pg_catalog.=) 'bytea' then 'bytes'
         when t.typcategory operator(pg_catalog.=) 'A'
           and e.typname operator(pg_catalog.=) any ('{json,jsonb}'::pg_catalog.name[]) then 'json-array'
         when t.typcategory operator(pg_catalog.=) 'A' then 'array'
         when t.typcategory operator(pg_catalog.=) 'S' then 'text'
         else 'other' end as form,
    pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.', pg_catalog.quote_ident(t.typname)) as type,
    pg_catalog.format_type(t.oid, null) as shown,
    case when kinds.attname operator(pg_catalog.=) any (?::pg_catalog.name[]) then (
      select pg_catalog.concat(pg_catalog.quote_ident(s.nspname), '.', g.oprname)
      from pg_catalog.pg_opclass as k
      join pg_catalog.pg_am as m on m.oid operator(pg_catalog.=) k.opcmethod and m.amname operator(pg_catalog.=) 'btree'
      join pg_catalog.pg_amop as o on o.amopfamily operator(pg_catalog.=) k.opcfamily
        and o.amopstrategy operator(pg_catalog.=) 3 and o.amoplefttype operator(pg_catalog.=) k.opcintype
        and o.amoprighttype operator(pg_catalog.=) k.opcintype
      join pg_catalog.pg_operator as g on g.oid operator(pg_catalog.=) o.amopopr
      join pg_catalog.pg_namespace as s on s.oid operator(pg_catalog.=) g.oprnamespace
      where k.opcdefault and k.opcintype operator(pg_catalog.=) t.oid
    ) end as equal
  from kinds
  join pg_catalog.pg_type as t on t.oid operator(pg_catalog.=) kinds.oid
  join pg_catalog.pg_namespace as n on n.oid operator(pg_catalog.=) t.typnamespace
  left join pg_catalog.pg_type as e on e.oid operator(pg_catalog.=) t.typelem
  where t.typtype operator(pg_catalog.<>) 'd'`;

// Those that ON CONFLICT can name by their columns alone.
const uniqueKeysSql = `
  select i.indexrelid::pg_catalog.text as index, a.attname::pg_catalog.text as name,
    case when i.indisprimary then 'primary' else 'unique' end as kind
  from pg_catalog.pg_index as i
  cross join rows from (pg_catalog.unnest(i.indkey::pg_catalog.int2[])) with ordinality as k(attnum, no)
  join pg_catalog.pg_attribute as a on a.attrelid operator(pg_catalog.=) i.indrelid
    and a.attnum operator(pg_catalog.=) k.attnum
  where i.indrelid operator(pg_catalog.=) pg_catalog.to_regclass(?)::pg_catalog.oid
    and i.indisunique and i.indimmediate and i.indisvalid and i.indpred is null and i.indexprs is null
    and k.no operator(pg_catalog.<=) i.indnkeyatts`;

const lookups = [sql, uniqueKeysSql].map((text) => text.slice(0, text.indexOf('?')));

/** Whether a statement is one that reads the catalog for a helper: no work of the author's. */
export function isTargetLookup(text: string): boolean {
  return lookups.some((lookup) => text.startsWith(lookup));
}

/** The columns of a table by its written name, those of `key` with their operator; none where there is no such table. */
export async function readTarget(
  db: Knex,
  written: string,
  key: readonly string[],
): Promise<readonly TargetColumn[]> {
  // The place of a row is a column of the system.
  const place = key.filter((name) => name === 'ctid');
  const rows = await looked<Row>(db, sql, [written, place, [...key]]);
  return rows.map((row) => ({ ...row, property: row.name }));
}

/** A unique key that ON CONFLICT can name by its columns. */
export interface UniqueKey {
  /** Names in the database. */
  readonly columns: readonly string[];
  readonly isPrimary: boolean;
}

/** The unique keys of a table, the primary key first. */
export async function readUniqueKeys(db: Knex, written: string): Promise<readonly UniqueKey[]> {
  const rows = await looked<{ index: string; name: string; kind: string }>(db, uniqueKeysSql, [written]);
  const indexes = new Map(rows.map(({ index, kind }) => [index, kind === 'primary']));
  const keys = [...indexes].map(([index, isPrimary]) => {
    return { columns: rows.filter((row) => row.index === index).map(({ name }) => name), isPrimary };
  });
  return keys.toSorted((one, other) => Number(other.isPrimary) - Number(one.isPrimary));
}

async function looked<R>(db: Knex, text: string, values: readonly unknown[]): Promise<readonly R[]> {
  const statement = db.raw(text, values as never);
  noteUpdate(statement, writesNothing);
  const result: unknown = await statement;
  return (result as { rows: readonly R[] }).rows;
}
