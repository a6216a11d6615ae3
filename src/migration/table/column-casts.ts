import type { Session } from '../../postgres/session.ts';

/** The types of a table's columns by name, without modifiers, qualified and quoted: for casts under any search path. */
export async function readColumnCasts(session: Session, oid: string): Promise<ReadonlyMap<string, string>> {
  const { rows } = await session.query(
    `select a.attname::text as name, pg_catalog.format('%I.%I', n.nspname, t.typname) as type
     from pg_catalog.pg_attribute as a
     join pg_catalog.pg_type as t on t.oid = a.atttypid
     join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
     where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped`,
    [oid],
  );
  return new Map(rows.map(({ name, type }) => [String(name), String(type)]));
}
