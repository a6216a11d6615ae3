import type { Position } from '../../migration/key/key.ts';
import { LedgerPart } from '../part.ts';

/** What is known of a run when one of its chunks has failed. */
export interface FailureFacts {
  /** Some chunk of the run was committed, on any host. */
  readonly hasSucceeded: boolean;
  readonly quarantined: number;
  /** Rows that were quarantined and put back, or failed alone, and are not done yet. */
  readonly reopened: number;
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
   * in the meantime, and then waits for that one's chunk.
   */
  readonly from?: Position | null;
  /** `accountFor` has counted it. */
  readonly isAccounted?: boolean;
}

/** Tries of ranges that failed, and workers that died. */
export class Failures extends LedgerPart {
  /** Reads what decides between continuing and stopping. */
  async facts(runId: string): Promise<FailureFacts> {
    const result = await this.session.query(
      `select exists (select from ${this.names.ranges} where run_id = $1::bigint and chunks > 0) as succeeded,
              (select count(*) from ${this.names.quarantine} where run_id = $1::bigint) as quarantined,
              (select count(*) from ${this.names.ranges}
               where run_id = $1::bigint and state = 'open' and max_rows = 1 and attempts > 0) as reopened`,
      [runId],
    );
    const row = result.rows[0] ?? {};
    return {
      hasSucceeded: row.succeeded === true,
      quarantined: row.quarantined as number,
      reopened: row.reopened as number,
    };
  }

  /**
   * Accounts for the claim of a try that failed: it is closed, and the range stays with its worker for as long
   * as after any touch. Goes to the server together with the rollback: a process that is busy may be late with the
   * rest, and whoever takes the range up in the meantime must not count a death. It waits for a claim that was quicker, and
   * from then on `openClaims` waits for it. False where the range is not as it was.
   */
  async accountFor(at: {
    readonly runId: string;
    readonly no: number;
    readonly cursor: Position | null;
  }): Promise<boolean> {
    const { rowCount } = await this.session.query(
      `update ${this.names.ranges}
       set open_claims = greatest(open_claims - 1, 0), attempts = attempts + 1, touched_at = clock_timestamp()
       where run_id = $1::bigint and no = $2::integer and state = 'open' and cursor is not distinct from $3::text[]`,
      [at.runId, at.no, at.cursor],
    );
    return rowCount === 1;
  }

  /**
   * The open claims of a range: one for each death, and this one; after all those who wait for its lock to account for a failed
   * try.
   */
  async openClaims(runId: string, no: number): Promise<number> {
    const { rows } = await this.session.query(
      `select open_claims from ${this.names.ranges} where run_id = $1::bigint and no = $2::integer and state = 'open' for update`,
      [runId, no],
    );
    return (rows[0]?.['open_claims'] as number | undefined) ?? 0;
  }

  /**
   * Records a failed try, outside its transaction, and gives the range up. Its claim is closed: it
   * is accounted for. Where another worker has taken the range up in the meantime, it is nothing but accounted for, with
   * fewer rows for the next try; and that alone where the cursor is where it was.
   */
  async record(failure: RangeFailure): Promise<void> {
    const { from } = failure;
    const isSame = from === undefined ? 'false' : 'cursor is not distinct from $9::text[]';
    await this.session.query(
      `update ${this.names.ranges}
       set last_error = $3, touched_at = clock_timestamp(), open_claims = greatest(open_claims - $8::integer, 0),
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
        this.session.storable(failure.error),
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
  async shrinkRange(runId: string, no: number, rows: number): Promise<void> {
    await this.session.query(
      `update ${this.names.ranges}
       set max_rows = $3::integer, attempts = attempts + greatest(open_claims - $4::integer, 0), open_claims = $4::integer
       where run_id = $1::bigint and no = $2::integer and state = 'open'`,
      [runId, no, rows, rows > 1 ? 2 : 1],
    );
  }
}
