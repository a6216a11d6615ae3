import type { BaseTable } from '../migration/key.ts';
import type { Session } from '../postgres/session.ts';

/**
 * Rows of the base table that this connection has written, as the server's own statistics count them: also in a
 * CTE, a function or a trigger, of which the answer to a statement says nothing. They go on from one transaction
 * to the next, so only a difference means something.
 */
export interface Tuples {
  readonly updated: number;
  readonly deleted: number;
  /** False where they are not counted, or where a trigger or a rule may write other columns than it was told. */
  readonly isPlain: boolean;
}

/** Asks for the counters; 0 where `track_counts` is off. */
export async function readTuples(session: Session, base: BaseTable): Promise<Tuples> {
  const result = await session.query(
    `select coalesce(sum(pg_catalog.pg_stat_get_xact_tuples_updated(c.oid)), 0)::bigint as updated,
       coalesce(sum(pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid)), 0)::bigint as deleted,
       pg_catalog.current_setting('track_counts') = 'on' and not pg_catalog.bool_or(c.relhasrules or exists (
         -- row triggers that run before an update: 2 and 16 of tgtype
         select from pg_catalog.pg_trigger as t where t.tgrelid = c.oid and t.tgtype & 18 = 18)) as is_plain
     from pg_catalog.pg_class as c
     where c.oid = $1::oid or c.oid in (select relid from pg_catalog.pg_partition_tree($1::oid))`,
    [base.oid],
  );
  const { updated, deleted, is_plain: isPlain } = result.rows[0] ?? {};
  return { updated: Number(updated), deleted: Number(deleted), isPlain: isPlain === true };
}
