import type { Key, Position } from '../../migration/key/key.ts';
import { LedgerPart } from '../part.ts';
import type { LedgerNames } from '../schema.ts';

/** A quarantined row. */
export interface QuarantinedRow {
  readonly key: Key;
  readonly error: string;
  readonly sqlstate: string | null;
  readonly attempts: number;
}

/** The same as the ledger lists it. */
export interface ListedRow extends QuarantinedRow {
  /** Milliseconds since the epoch. */
  readonly atMs: number;
}

/** The table of quarantined rows. */
export class Quarantine extends LedgerPart {
  /**
   * Quarantines one row, inside a transaction that owns the range: what is done before it, the row, and what
   * comes after it, if anything, become ranges of their own, so that `down` leaves the row out and `retry` finds it. False where
   * the range is not as it was. `place`: where its row is in the range's order, mostly its key.
   */
  async add(
    at: {
      readonly runId: string;
      readonly no: number;
      readonly cursor: Position | null;
      readonly epoch: number;
      readonly token: string;
    },
    row: QuarantinedRow & { readonly place: Position },
  ): Promise<boolean> {
    await this.lockRangeNumbers(at.runId);
    const moved = await this.session.query(quarantineRow(this.names), [
      at.runId,
      at.no,
      at.cursor,
      at.epoch,
      at.token,
      row.key,
      this.session.storable(row.error),
      row.sqlstate,
      row.attempts,
      row.place,
    ]);
    return moved.rowCount === 1;
  }

  /** The quarantined rows of a run, at most `limit`, with how many there are in all. */
  async list(
    runId: string,
    limit: number,
  ): Promise<{ readonly count: number; readonly rows: readonly ListedRow[] }> {
    const result = await this.session.query(
      `select key, error, sqlstate, attempts, extract(epoch from at)::double precision * 1000 as ms, count(*) over () as count from ${this.names.quarantine}
       where run_id = $1::bigint order by at, key limit $2::integer`,
      [runId, limit],
    );
    const rows = result.rows.map((row) => ({
      key: row.key as Key,
      error: row.error as string,
      sqlstate: row.sqlstate as string | null,
      attempts: row.attempts as number,
      atMs: Math.round(Number(row.ms)),
    }));
    return { count: (result.rows[0]?.count as number | undefined) ?? 0, rows };
  }

  /** Opens the quarantined rows of a run again, or the one with this key, as chunks of one row; how many. */
  async reopen(runId: string, key: Key | null = null): Promise<number> {
    const result = await this.session.query(
      `with opened as (
         delete from ${this.names.quarantine}
         where run_id = $1::bigint and ($2::text[] is null or key = $2::text[])
         returning range_no
       )
       update ${this.names.ranges}
       set state = 'open', max_rows = 1, open_claims = 0, worker = null, next_try = '-infinity'
       where run_id = $1::bigint and state = 'quarantined' and no in (select range_no from opened)`,
      [runId, key],
    );
    return result.rowCount ?? 0;
  }
}

/** Splits a range at a row, which becomes a range of its own, and lists the row. */
function quarantineRow(names: LedgerNames): string {
  return `with run as materialized (
     select state, epoch from ${names.runs} where id = $1::bigint
     for share -- waits for, and then sees, a new epoch
   ), guard as (
     delete from ${names.guardOpen} where token = $5::uuid returning 1
   ), before as materialized (
     select r.*, r.hi = $10::text[] as ends_with_it,
            (select max(no) from ${names.ranges} where run_id = $1::bigint) as last_no
     from ${names.ranges} as r cross join run
     where r.run_id = $1::bigint and r.no = $2::integer and r.state = 'open'
       and r.cursor is not distinct from $3::text[]
       and run.state = 'running' and run.epoch = $4::bigint and exists (select from guard)
   ), done as (
     insert into ${names.ranges}
       (run_id, no, pass, space, lo, hi, cursor, state, at, rows, passed, chunks, busy_ms, retries)
     select run_id, last_no + 2, pass, space, lo, cursor, cursor, 'done', at, rows, passed, chunks, busy_ms, retries
     from before where cursor is not null
   ), separate as (
     insert into ${names.ranges} (run_id, no, pass, space, lo, hi, state, max_rows, at, estimated, attempts)
     select run_id, last_no + 1, pass, space, coalesce(cursor, lo), $10::text[], 'quarantined', 1, at, 1, $9::integer
     from before
     where not ends_with_it
     returning no
   ), listed as (
     insert into ${names.quarantine} (run_id, key, range_no, error, sqlstate, attempts)
     select $1::bigint, $6::text[], coalesce((select no from separate), no), $7, $8, $9::integer from before
   )
   update ${names.ranges} as r
   -- nothing comes after a row with which the range ends: then the range itself is quarantined
   set state = case when before.ends_with_it then 'quarantined' else 'open' end,
       lo = case when before.ends_with_it then coalesce(before.cursor, before.lo) else $10::text[] end,
       estimated = case when before.ends_with_it then 1 else r.estimated end,
       worker = case when before.ends_with_it then null else r.worker end,
       -- a quarantined row keeps its count through retry
       attempts = case when before.ends_with_it then $9::integer else 0 end,
       cursor = null, open_claims = 0, max_rows = 1, last_error = null,
       rows = case when before.cursor is null then r.rows else 0 end,
       passed = case when before.cursor is null then r.passed else 0 end,
       chunks = case when before.cursor is null then r.chunks else 0 end,
       busy_ms = case when before.cursor is null then r.busy_ms else 0 end,
       retries = case when before.cursor is null then r.retries else 0 end,
       touched_at = clock_timestamp()
   from before
   where r.run_id = before.run_id and r.no = before.no`;
}
