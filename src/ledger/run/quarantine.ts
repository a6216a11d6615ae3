import type { Session } from '../../postgres/session.ts';
import type { Key } from './rows.ts';
import type { LedgerNames } from '../schema.ts';

/** A row that is set aside. */
export interface QuarantinedRow {
  readonly key: Key;
  readonly error: string;
  readonly sqlstate: string | null;
  readonly attempts: number;
}

/** What is known of a run when one of its chunks has failed. */
export interface FailureFacts {
  /** Some chunk of the run was committed, on any host. */
  readonly hasSucceeded: boolean;
  readonly quarantined: number;
}

/** Reads what decides between going on and stopping. */
export async function failureFacts(
  session: Session,
  names: LedgerNames,
  runId: string,
): Promise<FailureFacts> {
  const result = await session.query(
    `select exists (select from ${names.ranges} where run_id = $1::bigint and chunks > 0) as succeeded,
            (select count(*) from ${names.quarantine} where run_id = $1::bigint) as quarantined`,
    [runId],
  );
  const row = result.rows[0] ?? {};
  return { hasSucceeded: row.succeeded === true, quarantined: row.quarantined as number };
}

/** How a try of a range ended, for `recordFailure`. */
export interface RangeFailure {
  readonly runId: string;
  readonly no: number;
  readonly worker: string;
  readonly error: string;
  /** Most rows of the next try; null: as before. */
  readonly maxRows: number | null;
  /** The range is tried again after this time. */
  readonly waitMs: number;
  /** It failed for what passes, and counts as a retry. */
  readonly transient: boolean;
  /**
   * The cursor from which it was tried, where it is to be recorded even if another worker has taken the range up
   * meanwhile, and then waits for that one's chunk.
   */
  readonly from?: Key | null;
  /** `accountFor` has counted it. */
  readonly isAccounted?: boolean;
}

/**
 * Accounts for the claim of a try that failed: it is no stall any more, and the range stays with its worker for as long
 * as after any touch. Goes to the server together with the rollback: a process that is busy may be late with the
 * rest, and whoever takes the range up meanwhile must not count a death. It waits for a claim that was quicker, and
 * from then on `stallsOf` waits for it. False where the range is not as it was.
 */
export async function accountFor(
  session: Session,
  names: LedgerNames,
  { runId, no, cursor }: { readonly runId: string; readonly no: number; readonly cursor: Key | null },
): Promise<boolean> {
  const { rowCount } = await session.query(
    `update ${names.ranges}
     set stalls = greatest(stalls - 1, 0), attempts = attempts + 1, touched_at = clock_timestamp()
     where run_id = $1::bigint and no = $2::integer and state = 'open' and cursor is not distinct from $3::text[]`,
    [runId, no, cursor],
  );
  return rowCount === 1;
}

/**
 * Claims of a range without progress, this one included, after all those who wait for its lock to account for a failed
 * try.
 */
export async function stallsOf(
  session: Session,
  names: LedgerNames,
  runId: string,
  no: number,
): Promise<number> {
  const { rows } = await session.query(
    `select stalls from ${names.ranges} where run_id = $1::bigint and no = $2::integer and state = 'open' for update`,
    [runId, no],
  );
  return (rows[0]?.['stalls'] as number | undefined) ?? 0;
}

/**
 * Records a failed try, outside its transaction, and gives the range up. Its claim is no stall any more: it
 * is accounted for. Where another worker has taken the range up meanwhile, it is nothing but accounted for, with
 * fewer rows for the next try; and that alone where the cursor is where it was.
 */
export async function recordFailure(
  session: Session,
  names: LedgerNames,
  failure: RangeFailure,
): Promise<void> {
  const { from } = failure;
  const isSame = from === undefined ? 'false' : 'cursor is not distinct from $9::text[]';
  await session.query(
    `update ${names.ranges}
     set last_error = $3, touched_at = clock_timestamp(), stalls = greatest(stalls - $8::integer, 0),
         attempts = attempts + $8::integer,
         max_rows = coalesce(case when worker = $7 then $4::integer else least($4::integer, max_rows) end, max_rows),
         retries = retries + case when $6::boolean then 1 else 0 end,
         next_try = case when worker = $7
                         then clock_timestamp() + $5::double precision * interval '1 millisecond'
                         else next_try end,
         worker = nullif(worker, $7)
     where run_id = $1::bigint and no = $2::integer and state = 'open' and (worker = $7 or ${isSame})`,
    [
      failure.runId,
      failure.no,
      session.storable(failure.error),
      failure.maxRows,
      failure.waitMs,
      failure.transient,
      failure.worker,
      failure.isAccounted === true ? 0 : 1,
      ...(from === undefined ? [] : [from]),
    ],
  );
}

/** Lowers the rows of a range whose workers died. The next death lowers them again, but one row has two. */
export async function shrinkRange(
  session: Session,
  names: LedgerNames,
  runId: string,
  no: number,
  rows: number,
): Promise<void> {
  await session.query(
    `update ${names.ranges}
     set max_rows = $3::integer, attempts = attempts + greatest(stalls - $4::integer, 0), stalls = $4::integer
     where run_id = $1::bigint and no = $2::integer and state = 'open'`,
    [runId, no, rows, rows > 1 ? 2 : 1],
  );
}

/**
 * Sets one row aside, inside a transaction that owns the range: what is done before it, the row, and what
 * comes after it, if anything, become ranges of their own, so that `down` leaves the row out and `retry` finds it. False where
 * the range is not as it was. `place`: where its row is in the range's order, mostly its key.
 */
export async function setAside(
  session: Session,
  names: LedgerNames,
  at: {
    readonly runId: string;
    readonly no: number;
    readonly cursor: Key | null;
    readonly epoch: number;
    readonly token: string;
  },
  row: QuarantinedRow & { readonly place: Key },
): Promise<boolean> {
  // Two ranges must not take the same number.
  await session.query('select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended($1, 0))', [
    `umzug-cluster split ${names.schema} ${at.runId}`,
  ]);
  const moved = await session.query(
    `with run as materialized (
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
     ), aside as (
       insert into ${names.ranges} (run_id, no, pass, space, lo, hi, state, max_rows, at, estimated)
       select run_id, last_no + 1, pass, space, coalesce(cursor, lo), $10::text[], 'void', 1, at, 1 from before
       where not ends_with_it
       returning no
     ), listed as (
       insert into ${names.quarantine} (run_id, key, range_no, error, sqlstate, attempts)
       select $1::bigint, $6::text[], coalesce((select no from aside), no), $7, $8, $9::integer from before
     )
     update ${names.ranges} as r
     -- nothing comes after a row with which the range ends: then the range itself is set aside
     set state = case when before.ends_with_it then 'void' else 'open' end,
         lo = case when before.ends_with_it then coalesce(before.cursor, before.lo) else $10::text[] end,
         estimated = case when before.ends_with_it then 1 else r.estimated end,
         worker = case when before.ends_with_it then null else r.worker end,
         cursor = null, stalls = 0, attempts = 0, max_rows = 1, last_error = null,
         rows = case when before.cursor is null then r.rows else 0 end,
         passed = case when before.cursor is null then r.passed else 0 end,
         chunks = case when before.cursor is null then r.chunks else 0 end,
         busy_ms = case when before.cursor is null then r.busy_ms else 0 end,
         retries = case when before.cursor is null then r.retries else 0 end,
         touched_at = clock_timestamp()
     from before
     where r.run_id = before.run_id and r.no = before.no`,
    [
      at.runId,
      at.no,
      at.cursor,
      at.epoch,
      at.token,
      row.key,
      session.storable(row.error),
      row.sqlstate,
      row.attempts,
      row.place,
    ],
  );
  return moved.rowCount === 1;
}

/** The rows of a run that are set aside, at most `limit`, with how many there are in all. */
export async function listQuarantined(
  session: Session,
  names: LedgerNames,
  runId: string,
  limit: number,
): Promise<{ readonly count: number; readonly rows: readonly QuarantinedRow[] }> {
  const result = await session.query(
    `select key, error, sqlstate, attempts, count(*) over () as count from ${names.quarantine}
     where run_id = $1::bigint order by at, key limit $2::integer`,
    [runId, limit],
  );
  const rows = result.rows.map((row) => ({
    key: row.key as Key,
    error: row.error as string,
    sqlstate: row.sqlstate as string | null,
    attempts: row.attempts as number,
  }));
  return { count: (result.rows[0]?.count as number | undefined) ?? 0, rows };
}

/** Puts the rows of a run that are set aside back into their turn, as chunks of one row; how many. */
export async function putBack(session: Session, names: LedgerNames, runId: string): Promise<number> {
  await session.query(`delete from ${names.quarantine} where run_id = $1::bigint`, [runId]);
  const result = await session.query(
    `update ${names.ranges}
     set state = 'open', max_rows = 1, stalls = 0, worker = null, next_try = '-infinity'
     where run_id = $1::bigint and state = 'void'`,
    [runId],
  );
  return result.rowCount ?? 0;
}
