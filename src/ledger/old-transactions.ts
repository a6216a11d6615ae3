import type { Session } from '../postgres/session.ts';

/** A transaction that was writing when a run began. */
export interface OldTransaction {
  /** Null for a prepared transaction. */
  readonly pid: number | null;
  readonly ageSeconds: number | null;
}

// Of a run that was restored on another server, the beginning may be far in the future.
const mostBeyond = 1_000_000;

/**
 * Transactions with an id below `startXid` that are still writing in this database. Rows that they
 * inserted could be missed behind a cursor. A transaction is left out only where its process is known to
 * work in another database.
 */
export async function olderTransactions(session: Session, startXid: string): Promise<OldTransaction[]> {
  const result = await session.query(
    `select holder.pid, extract(epoch from clock_timestamp() - activity.xact_start)::float8 as age
     from (
       select xid::text::bigint from pg_catalog.pg_snapshot_xip(pg_catalog.pg_current_snapshot()) as xid
       union all -- none of these has ended either, which a snapshot does not list
       select xid from pg_catalog.generate_series(
         pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint,
         least($1::bigint - 1, pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint + ${mostBeyond})
       ) as xid
     ) as old (xid)
     left join pg_catalog.pg_locks as holder
       on holder.locktype = 'transactionid' and holder.granted and holder.mode = 'ExclusiveLock'
       and holder.transactionid::text::bigint = old.xid % 4294967296
     left join pg_catalog.pg_stat_activity as activity on activity.pid = holder.pid
     where old.xid <= $1::bigint
       and (activity.datid is null
            or activity.datid = (select oid from pg_catalog.pg_database
                                 where datname = pg_catalog.current_database()))`,
    [startXid],
  );
  return result.rows.map((row) => ({
    pid: row.pid as number | null,
    ageSeconds: row.age as number | null,
  }));
}
