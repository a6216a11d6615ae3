import { fail } from '../../errors.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import { tableName } from '../../migration/key/sql.ts';
import type { Session } from '../../postgres/session.ts';

/**
 * Refuses a table whose rows this server only passes on: another server keeps them, with transactions and locks of
 * its own, which nothing here can see. Every row that Postgres keeps itself is in a block of its table.
 */
export async function refuseRowsElsewhere(session: Session, base: BaseTable): Promise<void> {
  if (base.blocks > 0) return;
  const { rows } = await session.query(
    `select exists (select from ${tableName(base)}) and not exists (
       select from pg_catalog.pg_class as leaf
       where (leaf.oid operator(pg_catalog.=) $1::pg_catalog.oid
              or leaf.oid operator(pg_catalog.=) any (
                select relid::pg_catalog.oid from pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass)))
         and pg_catalog.pg_relation_size(leaf.oid::pg_catalog.regclass) operator(pg_catalog.>) 0) as elsewhere`,
    [base.oid],
  );
  if (rows[0]?.['elsewhere'] !== true) return;
  throw fail('SELECT_REFUSED', {
    message: `"${base.name}" has rows, but no block of it is on this server`,
    detail:
      'another server keeps them, as of a distributed table: the transactions and locks there cannot be seen from here; nothing was changed',
    hint: 'run the migration on the server that keeps the rows: see docs/managed-postgres.md',
  });
}
