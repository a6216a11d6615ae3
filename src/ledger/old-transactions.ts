import type { Session } from '../postgres/session.ts';

/** A transaction that was writing when a run began. */
export interface OldTransaction {
  /** Null for a prepared transaction. */
  readonly pid: number | null;
  readonly ageSeconds: number | null;
}

/**
 * Transactions with an id below `startXid` that are still writing in this database. Rows that they
 * inserted could be missed behind a cursor. A transaction is left out only where its process is known to
 * work in another database.
 */
export async function olderTransactions(session: Session, startXid: string): Promise<OldTransaction[]> {
  const result = await session.query(
    `select holder.pid, extract(epoch from clock_timestamp() - activity.xact_start)::float8 as age
     from pg_catalog.pg_snapshot_xip(pg_catalog.pg_current_snapshot()) as old(xid)
     left join pg_catalog.pg_locks as holder
       on holder.locktype = 'transactionid' and holder.granted and holder.mode = 'ExclusiveLock'
       and holder.transactionid::text::bigint = old.xid::text::bigint % 4294967296
     left join pg_catalog.pg_stat_activity as activity on activity.pid = holder.pid
     where old.xid <= $1::xid8
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
