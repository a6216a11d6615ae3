import type { Session } from '../../postgres/session.ts';
import type { LedgerNames } from '../schema.ts';

/**
 * Ends the backends of this role that hold the row of an open range in a transaction older than `olderThanMs`;
 * their pids. The lock's holder is the transaction in the row's xmax. Found and ended in one statement, so that
 * nobody is ended who has let go meanwhile.
 */
export async function endOldHolders(
  session: Session,
  names: LedgerNames,
  runId: string,
  olderThanMs: number,
): Promise<readonly number[]> {
  const result = await session.query(
    `with stuck as materialized ( -- first who, then the end: a condition may be tried on any row
       select activity.pid
       from ${names.ranges} as r
     join pg_catalog.pg_locks as holder
       on holder.locktype = 'transactionid' and holder.granted and holder.mode = 'ExclusiveLock'
       and holder.transactionid = r.xmax
     join pg_catalog.pg_stat_activity as activity on activity.pid = holder.pid
     where r.run_id = $1::bigint and r.state = 'open'
       and activity.usename = current_user and activity.pid <> pg_catalog.pg_backend_pid()
       and activity.xact_start < clock_timestamp() - $2::double precision * interval '1 millisecond'
     )
     select pid from stuck where pg_catalog.pg_terminate_backend(pid)`,
    [runId, olderThanMs],
  );
  return result.rows.map((row) => row.pid as number);
}
