import { LedgerPart } from '../part.ts';
import { type OldTransaction, joinPrepared, toTransaction } from './old-transactions.ts';

/** Who keeps chunks waiting. */
export class Blockers extends LedgerPart {
  /**
   * The transactions of others for which chunks of this role wait at this moment, on any host. A chunk is known by its
   * lock on the table of ranges; that chunks wait for each other is no news.
   */
  async list(): Promise<readonly OldTransaction[]> {
    const { rows } = await this.session.query(
      `with chunk as (
         select l.pid from pg_catalog.pg_locks as l
         where l.locktype = 'relation' and l.relation = $1::regclass
           and l.mode in ('RowShareLock', 'RowExclusiveLock')
       )
       select distinct nullif(blocker.pid, 0) as pid, prepared.gid, prepared.owner,
              extract(epoch from clock_timestamp() - coalesce(theirs.xact_start, prepared.prepared))::float8 as age
       from chunk
       join pg_catalog.pg_stat_activity as mine on mine.pid = chunk.pid and mine.wait_event_type = 'Lock'
       cross join unnest(pg_catalog.pg_blocking_pids(chunk.pid)) as blocker(pid)
       left join pg_catalog.pg_stat_activity as theirs on theirs.pid = blocker.pid
       ${joinPrepared('chunk.pid', 'blocker.pid')}
       where blocker.pid not in (select pid from chunk)
       order by age desc nulls last`,
      [this.names.ranges],
    );
    return rows.map(toTransaction);
  }

  /**
   * For what of the server itself a chunk has waited for more than a second, on any host: `SyncRep` where a synchronous
   * standby confirms no commit. Waits for the disk and for its client are part of the work.
   */
  async serverWait(): Promise<{ readonly event: string; readonly seconds: number } | null> {
    const { rows } = await this.session.query(
      `select mine.wait_event as event, extract(epoch from clock_timestamp() - mine.query_start)::float8 as seconds
       from pg_catalog.pg_locks as l
       join pg_catalog.pg_stat_activity as mine on mine.pid = l.pid
       where l.locktype = 'relation' and l.relation = $1::regclass
         and l.mode in ('RowShareLock', 'RowExclusiveLock')
         and mine.state = 'active' and mine.wait_event_type in ('IPC', 'Timeout', 'BufferPin', 'Extension')
         and mine.query_start < clock_timestamp() - interval '1 second'
       order by seconds desc limit 1`,
      [this.names.ranges],
    );
    const [row] = rows;
    return row === undefined ? null : { event: String(row['event']), seconds: Number(row['seconds']) };
  }

  /**
   * Ends the backends of this role that hold the row of an open range in a transaction older than `olderThanMs`;
   * their pids. The lock's holder is the transaction in the row's xmax. Found and ended in one statement, so that
   * nobody is ended who has let go in the meantime.
   */
  async endOldHolders(runId: string, olderThanMs: number): Promise<readonly number[]> {
    const result = await this.session.query(
      `with stuck as materialized ( -- first who, then the end: a condition may be tried on any row
         select activity.pid
         from ${this.names.ranges} as r
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
}
