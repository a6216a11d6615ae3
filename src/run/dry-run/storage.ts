import type { Storage } from '../../core/plan/order-advice.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import type { Session } from '../../postgres/session.ts';

/** Asks how the table is stored, and how much of it the server can keep in memory by its own settings. */
export async function readStorage(session: Session, { oid, key }: BaseTable): Promise<Storage> {
  const { rows } = await session.query(
    `select table_of.bytes::float8 as bytes,
       (table_of.bytes / pg_catalog.current_setting('block_size')::pg_catalog.int8)::float8 as blocks,
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('shared_buffers'))::float8 as shared_buffers,
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('effective_cache_size'))::float8 as effective_cache_size,
       (select s.correlation::float8
        from pg_catalog.pg_class as c
        join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
        join pg_catalog.pg_stats as s on s.schemaname = n.nspname and s.tablename = c.relname
        where c.oid = $1::oid and s.attname = $2 and not s.inherited) as correlation
     from (select pg_catalog.pg_relation_size($1::oid) as bytes) as table_of`,
    [oid, key[0]?.name],
  );
  const row = rows[0] ?? {};
  return {
    bytes: Number(row['bytes']),
    blocks: Number(row['blocks']),
    correlation: row['correlation'] as number | null,
    sharedBuffers: Number(row['shared_buffers']),
    effectiveCacheSize: Number(row['effective_cache_size']),
  };
}
