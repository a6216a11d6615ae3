import { LedgerPart } from '../part.ts';

/** What a host tells. */
export interface HostMark {
  /** Working processes, the primary included. */
  readonly workers: number;
  /** Of the whole run, smoothed; null until it can be known. */
  readonly rowsPerSecond: number | null;
  readonly etaSeconds: number | null;
  /** Rows of its latest chunk; 0 before there is one. */
  readonly chunkSize: number;
  readonly waiting: string | null;
  readonly throttled: string | null;
}

/** A host as others see it. `process`: `host:pid/token` of its primary. */
export interface HostSeen extends HostMark {
  readonly process: string;
  readonly seenAgoMs: number;
}

/** How long a host that says nothing passes for one that works. */
export const unseenMs = 5_000;

// What is left by hosts that were killed.
const forgottenAfter = '1 hour';

/**
 * What the hosts of a run tell of themselves, once a second, for people to look at. Nothing is decided by it: a
 * host that is not seen may be slow, and its chunks count as much as those of others.
 */
export class Hosts extends LedgerPart {
  /** Writes what a host tells. */
  async mark(runId: string, process: string, mark: HostMark): Promise<void> {
    await this.session.query(
      `with forgotten as (
         delete from ${this.names.hosts}
         where run_id = $1::bigint and process <> $2
           and seen_at < clock_timestamp() - interval '${forgottenAfter}'
       )
       insert into ${this.names.hosts} as h
         (run_id, process, workers, rows_per_second, eta_seconds, chunk_size, waiting, throttled)
       values ($1::bigint, $2, $3::integer, $4::double precision, $5::double precision, $6::integer, $7, $8)
       on conflict (run_id, process) do update
       set workers = excluded.workers, rows_per_second = excluded.rows_per_second,
           eta_seconds = excluded.eta_seconds, chunk_size = excluded.chunk_size, waiting = excluded.waiting,
           throttled = excluded.throttled, seen_at = clock_timestamp()`,
      [
        runId,
        process,
        mark.workers,
        mark.rowsPerSecond,
        mark.etaSeconds,
        mark.chunkSize,
        mark.waiting === null ? null : this.session.storable(mark.waiting),
        mark.throttled,
      ],
    );
  }

  /** A host works on a run no longer; nor do those that have said nothing for long. */
  async forget(runId: string, process: string): Promise<void> {
    await this.session.query(
      `delete from ${this.names.hosts}
       where run_id = $1::bigint
         and (process = $2 or seen_at < clock_timestamp() - ${unseenMs} * interval '1 millisecond')`,
      [runId, process],
    );
  }

  /** All hosts that have told of themselves and not said goodbye, the latest first. */
  async list(runId: string): Promise<readonly HostSeen[]> {
    const result = await this.session.query(
      `select process, workers, rows_per_second, eta_seconds, chunk_size, waiting, throttled,
              extract(epoch from clock_timestamp() - seen_at)::double precision * 1000 as ago
       from ${this.names.hosts} where run_id = $1::bigint and seen_at <= clock_timestamp() order by seen_at desc, process`,
      [runId],
    );
    return result.rows.map((row) => ({
      process: row.process as string,
      workers: row.workers as number,
      rowsPerSecond: row.rows_per_second as number | null,
      etaSeconds: row.eta_seconds as number | null,
      chunkSize: row.chunk_size as number,
      waiting: row.waiting as string | null,
      throttled: row.throttled as string | null,
      seenAgoMs: Number(row.ago),
    }));
  }

  /**
   * Milliseconds since somebody was last seen working on a run that nobody works on; null: somebody does. A chunk is
   * under way, or a host has told of itself a moment ago. One that leaves takes its row with it; where one is left that
   * is silent, its host may have been killed, and its latest chunk counts for as long.
   */
  async unattendedMs(runId: string): Promise<number | null> {
    const result = await this.session.query(
      `with mark as materialized (
         select seen_at as at from ${this.names.hosts} where run_id = $1::bigint
       ), last as materialized (
         select max(at) as at from (
           select at from mark
           union all select touched_at from ${this.names.ranges} where run_id = $1::bigint
           union all select started_at from ${this.names.runs} where id = $1::bigint
         ) as all_marks (at)
         where at <= clock_timestamp() -- one that is still to come is of before the clock was set back
       )
       select extract(epoch from clock_timestamp() - last.at)::double precision * 1000 as ms,
              exists (select from mark) and last.at > clock_timestamp() - ${unseenMs} * interval '1 millisecond'
              or exists (
                select from ${this.names.ranges} as r
                join pg_catalog.pg_locks as holder
                  on holder.locktype = 'transactionid' and holder.granted and holder.mode = 'ExclusiveLock'
                  and holder.transactionid = r.xmax
                where r.run_id = $1::bigint and r.state = 'open'
              ) as is_attended
       from last`,
      [runId],
    );
    const { ms, is_attended: isAttended } = result.rows[0] ?? {};
    return isAttended === true ? null : Number(ms ?? Infinity);
  }
}
