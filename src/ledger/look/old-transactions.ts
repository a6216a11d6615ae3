import type { Result, Session } from '../../postgres/session.ts';

/** A transaction that was writing when a run began. */
export interface OldTransaction {
  /** Null for a prepared transaction. */
  readonly pid: number | null;
  readonly ageSeconds: number | null;
  /** Of a prepared transaction, where it is known which one. */
  readonly prepared?: { readonly gid: string; readonly owner: string } | null;
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
    `select holder.pid, prepared.gid, prepared.owner,
            extract(epoch from clock_timestamp() - coalesce(activity.xact_start, prepared.prepared))::float8 as age
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
     left join pg_catalog.pg_prepared_xacts as prepared
       on holder.pid is null and prepared.database = pg_catalog.current_database()
       and prepared.transaction::text::bigint = old.xid % 4294967296
     where old.xid <= $1::bigint
       and (activity.datid is null
            or activity.datid = (select oid from pg_catalog.pg_database
                                 where datname = pg_catalog.current_database()))`,
    [startXid],
  );
  return result.rows.map(toTransaction);
}

/** Reads `pid`, `age`, `gid` and `owner`. */
export function toTransaction(row: Result['rows'][number]): OldTransaction {
  return {
    pid: row['pid'] as number | null,
    ageSeconds: row['age'] as number | null,
    prepared: row['gid'] === null ? null : { gid: String(row['gid']), owner: String(row['owner']) },
  };
}

/** A join that adds, as `prepared`, the prepared transaction for which process `waiter` waits where `blocker` is 0. */
export function joinPrepared(waiter: string, blocker: string): string {
  return `left join lateral (
       select p.gid, p.owner, p.prepared
       from pg_catalog.pg_prepared_xacts as p
       join pg_catalog.pg_locks as own on own.pid is null and own.transactionid = p.transaction
       join pg_catalog.pg_locks as held on held.pid is null and held.virtualtransaction = own.virtualtransaction
       join pg_catalog.pg_locks as wanted on wanted.pid = ${waiter} and not wanted.granted
         and wanted.locktype = held.locktype and wanted.relation is not distinct from held.relation
         and wanted.transactionid::text is not distinct from held.transactionid::text
       limit 1
     ) as prepared on ${blocker} = 0`;
}
