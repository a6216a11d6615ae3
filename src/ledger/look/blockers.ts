import type { Session } from '../../postgres/session.ts';
import { type OldTransaction, joinPrepared, toTransaction } from './old-transactions.ts';
import type { LedgerNames } from '../schema.ts';

/**
 * The transactions of others for which chunks of this role wait at this moment, on any host. A chunk is known by its
 * lock on the table of ranges; that chunks wait for each other is no news.
 */
export async function chunkBlockers(
  session: Session,
  names: LedgerNames,
): Promise<readonly OldTransaction[]> {
  const { rows } = await session.query(
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
    [names.ranges],
  );
  return rows.map(toTransaction);
}

/**
 * For what of the server itself a chunk has waited for more than a second, on any host: `SyncRep` where a synchronous
 * standby confirms no commit. Waits for the disk and for its client are part of the work.
 */
export async function chunkWait(
  session: Session,
  names: LedgerNames,
): Promise<{ readonly event: string; readonly seconds: number } | null> {
  const { rows } = await session.query(
    `select mine.wait_event as event, extract(epoch from clock_timestamp() - mine.query_start)::float8 as seconds
     from pg_catalog.pg_locks as l
     join pg_catalog.pg_stat_activity as mine on mine.pid = l.pid
     where l.locktype = 'relation' and l.relation = $1::regclass
       and l.mode in ('RowShareLock', 'RowExclusiveLock')
       and mine.state = 'active' and mine.wait_event_type in ('IPC', 'Timeout', 'BufferPin', 'Extension')
       and mine.query_start < clock_timestamp() - interval '1 second'
     order by seconds desc limit 1`,
    [names.ranges],
  );
  const [row] = rows;
  return row === undefined ? null : { event: String(row['event']), seconds: Number(row['seconds']) };
}
