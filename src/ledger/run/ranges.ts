import { type Overrides, parseOverrides } from '../../core/config/steering.ts';
import type { Space, Position } from '../../migration/key/key.ts';
import { inOrder } from '../../postgres/transaction.ts';
import { LedgerPart } from '../part.ts';
import { isUnparked, releaseRanges } from '../shared-sql.ts';
import type { LedgerNames } from '../schema.ts';
import { type Range, type RunTotals, noTotals, toTotals, toRange } from './rows.ts';

// A worker touches its range at least once a chunk and holds its lock in between. One that has neither
// lock nor touch for this long is dead, or waits for its turn: its range may be claimed.
const untouchedMs = 400;

// What was written at a time that is still to come, before the server's clock was set back, holds nobody.
const isFree = `(worker is null or worker = $2
  or touched_at not between clock_timestamp() - ${untouchedMs} * interval '1 millisecond' and clock_timestamp())`;
const mayBeTried = `(next_try <= clock_timestamp() or touched_at > clock_timestamp() and ${isUnparked})`;

/**
 * An SQL condition: a range belongs to a dead worker, by the beginnings of their names in the array `dead`. What has
 * failed or killed before is nothing to hurry for: it comes last.
 */
const isOrphan = (dead: string): string =>
  `(open_claims < 2 and attempts = 0
    and exists (select from pg_catalog.unnest(${dead}::text[]) as dead where pg_catalog.starts_with(worker, dead)))`;

/** A claimed range. `onlyFailed`: no chunk of the run has succeeded, and some have failed. */
export type ClaimedRange = Range & { readonly onlyFailed: boolean };

/** What a lane asks of the pace: so many rows, less those of its turn before that there were not. */
export interface PacedTurn {
  readonly rows: number;
  readonly unused: number;
  /** Rows per second. */
  readonly pace: number;
}

/**
 * What became of a claim. `none`: nobody's range is free. `paced`: the pace lets no chunk start yet. `stopped`: the
 * run is not to continue in this epoch; a claim that no chunk could follow would count as a death.
 */
export type Claim =
  | { readonly kind: 'range'; readonly range: ClaimedRange; readonly overrides: Overrides }
  | { readonly kind: 'none'; readonly overrides: Overrides }
  | { readonly kind: 'paced'; readonly waitMs: number; readonly overrides: Overrides }
  | { readonly kind: 'stopped' };

/** Only with a range: a turn without one would keep the others waiting for nothing. */
function payTurn(names: LedgerNames, { rows, pace }: PacedTurn, freeAt: string): string {
  return `update ${names.controls}
          set free_at = greatest(${freeAt}, clock_timestamp()) + ${rows / pace} * interval '1 second',
              paid_at = clock_timestamp()
          where run_id = $1::bigint and exists (select from taken)`;
}

/** Where a pass over a table ends, upper bounds of its first ranges, and the positions of those. */
export interface Layout {
  readonly space: Space;
  readonly stopKey: Position | null;
  readonly bounds: readonly Position[];
  /** Behind which key the first of them begins, and its position; unset: at the start of the table. */
  readonly from?: { readonly key: Position; readonly at: number };
  readonly ends: readonly number[];
}

/** Where a range lies in its table, in rows of it. */
export interface RangePlace {
  readonly no: number;
  readonly state: 'open' | 'done' | 'quarantined';
  readonly begins: number;
  readonly passed: number;
  readonly ahead: number;
  /** Who has touched it a moment ago, or null. */
  readonly worker: string | null;
  readonly lastError: string | null;
  readonly isStolen: boolean;
}

const stealsSince = 4;

// A chunk takes half a second.
const activeSeconds = 5;

/** The table of ranges. */
export class Ranges extends LedgerPart {
  /**
   * Claims an open range that nobody works on. The claim counts as open until there is progress or a recorded failure, so that
   * deaths are counted durably, but for those in the moment before a crash of the server: a claim does not wait for
   * its disk. Under a pace the lanes of all hosts take turns, one after the other by the
   * database's clock, and a turn is taken together with a range: time that nobody used is not saved up. `dead`: only
   * a range of one of these workers, which are known to be gone.
   */
  async claim(
    run: { readonly id: string; readonly epoch: number },
    worker: string,
    turn: PacedTurn | null,
    dead: readonly string[] | null = null,
  ): Promise<Claim> {
    const unused = `${turn === null ? 0 : turn.unused / turn.pace} * interval '1 second'`;
    const freeAt = `case when paid_at > clock_timestamp() then '-infinity' else free_at - ${unused} end`;
    const isTurn =
      turn === null
        ? 'true'
        : `exists (select from ${this.names.controls}
                   where run_id = $1::bigint and ${freeAt} <= clock_timestamp()
                   for update)`; // one lane after the other, until its statement ends
    const result = await this.session.query(
      `with run as materialized (
         select from ${this.names.runs} where id = $1::bigint and epoch = $3::bigint and state = 'running'
       ), turn as materialized (
         select ${isTurn} as is_mine
       ), free as materialized ( -- once: a subquery may be run anew for each row of a join, and take them all
         select no from ${this.names.ranges}
         where run_id = $1::bigint and state = 'open' and ${mayBeTried}
           and exists (select from run) and (select is_mine from turn)
           and ${dead === null ? isFree : isOrphan('$4')}
         -- what fails or killed its workers comes last, so that it does not keep the others from their turn; what
         -- a dead worker has left comes first, since it may be the last that a host waits for
         order by open_claims >= 2, attempts, touched_at = '-infinity', worker is null desc, no
         limit 1
         for update skip locked -- a locked range has a chunk in flight
       ), taken as (
         update ${this.names.ranges} as r
         set worker = $2, open_claims = r.open_claims + 1, touched_at = clock_timestamp(), next_try = '-infinity'
         from free
         where r.run_id = $1::bigint and r.no = free.no
         returning r.no, r.space, r.lo, r.hi, r.cursor, r.max_rows, r.open_claims,
           not exists (select from ${this.names.ranges} where run_id = $1::bigint and chunks > 0)
             and exists (select from ${this.names.ranges} where run_id = $1::bigint and (attempts > 0 or state = 'quarantined'))
             as only_failed
       )${turn === null ? '' : `, paid as (${payTurn(this.names, turn, freeAt)})`}
       select taken.*, turn.is_mine, c.overrides, pg_catalog.set_config('synchronous_commit', 'off', true),
              -- before Postgres 17 no time can be subtracted from -infinity
              extract(epoch from greatest(${freeAt}, clock_timestamp()) - clock_timestamp())::double precision
                * 1000 as wait_ms
       from run cross join turn left join taken on true
       left join ${this.names.controls} as c on c.run_id = $1::bigint`,
      [run.id, worker, run.epoch, ...(dead === null ? [] : [dead])],
    );
    const row = result.rows[0];
    if (row === undefined) return { kind: 'stopped' };
    const overrides = parseOverrides(row.overrides);
    if (row.is_mine !== true) return { kind: 'paced', waitMs: Number(row.wait_ms), overrides };
    if (row.no === null) return { kind: 'none', overrides };
    const range = { ...toRange(row), onlyFailed: row.only_failed === true };
    return { kind: 'range', range, overrides };
  }

  /** Gives a claimed range back untried: its claim is closed. `no` is null where the answer to the claim was lost. */
  async giveBack(runId: string, no: number | null, worker: string): Promise<void> {
    await this.session.query(
      `update ${this.names.ranges} set worker = null, open_claims = greatest(open_claims - 1, 0)
       where run_id = $1::bigint and no = coalesce($2::integer, no) and state = 'open' and worker = $3`,
      [runId, no, worker],
    );
  }

  /** Locks the open range with the most left, for stealing; its owner lets go of it at its chunk's end. */
  async lockLargest(
    runId: string,
    minimum: number,
  ): Promise<(Range & { readonly at: number; readonly estimated: number }) | null> {
    const result = await this.session.query(
      `select no, space, lo, hi, cursor, max_rows, open_claims, at, estimated, state
       from ${this.names.ranges}
       where run_id = $1::bigint and state = 'open' and estimated >= $2::double precision and ${isUnparked}
         -- a sweep looks for all that is left in one go: two of them would read the whole table twice
         and (pass = 0 or cursor is not null)
       order by estimated desc, no
       limit 1
       for update -- waits for the owner's chunk, with lock_timeout`,
      [runId, minimum],
    );
    const row = result.rows[0];
    if (row === undefined) return null;
    return { ...toRange(row), at: row.at as number, estimated: row.estimated as number };
  }

  /** Splits a locked range: its owner keeps `(cursor, at]`, of about `kept` rows; `worker` gets `(at, hi]`, or nobody. */
  async split(
    runId: string,
    { no, hi }: Range,
    { at, kept, taken }: { readonly at: Position; readonly kept: number; readonly taken: number },
    worker: string | null,
  ): Promise<void> {
    await this.lockRangeNumbers(runId);
    await this.session.query(
      `with kept as (
         update ${this.names.ranges} set hi = $3::text[], estimated = $5::double precision
         where run_id = $1::bigint and no = $2::integer and state = 'open'
         returning pass, space, at
       ), taken as (
         insert into ${this.names.ranges} (run_id, no, pass, space, lo, hi, at, estimated, worker, touched_at)
         select $1::bigint, (select max(no) + 1 from ${this.names.ranges} where run_id = $1::bigint),
                pass, space, $3::text[], $4::text[], at + $5::double precision, $6::double precision, $7::text,
                case when $7::text is null then '-infinity' else clock_timestamp() end
         from kept
         returning no
       )
       insert into ${this.names.steals} (run_id, no) select $1::bigint, no from taken where $7::text is not null`,
      [runId, no, at, hi, kept, taken, worker],
    );
  }

  /** Notes that a range is too small to be split: what is left of it was estimated too high, and is `left` at most. */
  async markSmall(runId: string, no: number, left: number): Promise<void> {
    await this.session.query(
      `update ${this.names.ranges}
       set estimated = least(estimated, $3::double precision),
           at = at + greatest(estimated - $3::double precision, 0),
           passed = passed + greatest(estimated - $3::double precision, 0)
       where run_id = $1::bigint and no = $2::integer`,
      [runId, no, left],
    );
  }

  /** Until the transaction ends nobody else adds a range to a run. Call it before a range is locked, as a quarantine does. */
  async lockNumbers(runId: string): Promise<void> {
    await this.lockRangeNumbers(runId);
  }

  /** Inserts the first ranges of a run's present pass; consecutive bounds make half-open ranges. */
  async layOut(runId: string, { bounds, space, ends, from }: Layout): Promise<void> {
    const insert = `insert into ${this.names.ranges} (run_id, no, pass, space, lo, hi, at, estimated)
       select $1::bigint, 1 + coalesce((select max(no) from ${this.names.ranges} where run_id = $1::bigint), 0),
              pass, $5, $2::text[], $3::text[], $6::double precision, $4::double precision
       from ${this.names.runs} where id = $1::bigint`;
    await inOrder(
      bounds.map((hi, index) => {
        const at = ends[index - 1] ?? from?.at ?? 0;
        const left = Math.max((ends[index] ?? at) - at, 0);
        return this.session.query(insert, [
          runId,
          bounds[index - 1] ?? from?.key ?? null,
          hi,
          left,
          space,
          at,
        ]);
      }),
    );
  }

  /** The ranges of the present pass of a run and its quarantined ones, by their places; locks nothing. */
  async places(runId: string): Promise<readonly RangePlace[]> {
    const { steals, version } = this.names;
    const isStolen =
      version < stealsSince
        ? 'false'
        : `exists (select from ${steals} as s where s.run_id = p.run_id and s.no = p.no)`;
    const { rows } = await this.session.query(
      `select no, p.state, at - passed as begins, passed, case p.state when 'done' then 0 else estimated end as ahead, worker,
              last_error, ${isStolen} as is_stolen,
              touched_at > clock_timestamp() - interval '${activeSeconds} seconds' as is_recent
       from ${this.names.ranges} as p join ${this.names.runs} as run on run.id = p.run_id
       where p.run_id = $1::bigint and (p.pass = run.pass or p.state = 'quarantined')
       order by begins, no`,
      [runId],
    );
    return rows.map((row) => ({
      no: row['no'] as number,
      state: row['state'] as RangePlace['state'],
      begins: Math.max(0, Number(row['begins'])),
      passed: Number(row['passed']),
      ahead: Number(row['ahead']),
      worker: row['is_recent'] === true ? (row['worker'] as string | null) : null,
      lastError: row['last_error'] as string | null,
      isStolen: row['is_stolen'] === true,
    }));
  }

  /** Sums over the ranges of a run. */
  async totals(runId: string): Promise<RunTotals> {
    return (await this.totalsOf([runId])).get(runId) ?? noTotals;
  }

  /** The same of several runs, in one statement. */
  async totalsOf(runIds: readonly string[]): Promise<ReadonlyMap<string, RunTotals>> {
    const result = await this.session.query(
      `select run.id::text, coalesce(sum(rows), 0)::bigint as rows, coalesce(sum(chunks), 0)::bigint as chunks,
              coalesce(sum(passed) filter (where p.pass = run.pass), 0) as passed,
              count(*) filter (where p.state = 'done') as ranges_done,
              count(*) filter (where p.state = 'open') as ranges_open,
              count(*) filter (where p.state = 'open' and not ${isUnparked}) as ranges_parked,
              coalesce(sum(estimated) filter (where p.state = 'open' and p.pass = run.pass), 0) as estimated_left,
              coalesce(json_agg(json_build_array(at, estimated)) filter (where p.state = 'open' and p.pass = run.pass), '[]') as open,
              coalesce(sum(busy_ms), 0) as busy_ms,
              (array_agg(last_error order by touched_at desc, no desc) filter (where last_error is not null))[1]
                as last_error,
              coalesce(sum(retries), 0)::bigint as retries,
              (select count(*) from ${this.names.quarantine} where run_id = run.id) as quarantined,
              coalesce(json_agg(json_build_object('worker', worker, 'no', no) order by touched_at, no)
                       filter (where worker is not null and p.state = 'open'), '[]') as workers
       from ${this.names.runs} as run join ${this.names.ranges} as p on p.run_id = run.id
       where run.id = any ($1::bigint[])
       group by run.id`,
      [runIds],
    );
    return new Map(result.rows.map((row) => [row.id as string, toTotals(row)]));
  }

  /** What is left of the open ranges of keys of a run, at most `most` of them; locks nothing. */
  async openParts(
    runId: string,
    most: number,
  ): Promise<readonly { readonly after: Position | null; readonly upTo: Position }[]> {
    const { rows } = await this.session.query(
      `select coalesce(cursor, lo) as after, hi from ${this.names.ranges}
       where run_id = $1::bigint and state = 'open' and space = 'keys'
       order by estimated desc, no
       limit $2::integer`,
      [runId, most],
    );
    return rows.map((row) => ({ after: row['after'] as Position | null, upTo: row['hi'] as Position }));
  }

  /** What a run has done, by its ranges of keys, at most `most` of them; locks nothing. */
  async doneParts(
    runId: string,
    most: number,
  ): Promise<readonly { readonly after: Position | null; readonly upTo: Position }[]> {
    const { rows } = await this.session.query(
      `select lo, cursor from ${this.names.ranges}
       where run_id = $1::bigint and cursor is not null and state <> 'quarantined' and space = 'keys'
       order by passed desc, no
       limit $2::integer`,
      [runId, most],
    );
    return rows.map((row) => ({ after: row['lo'] as Position | null, upTo: row['cursor'] as Position }));
  }

  /** Whether open ranges still belong to dead workers; the server may hold their locks until it notices the death. */
  async hasOrphans(runId: string, dead: readonly string[]): Promise<boolean> {
    const result = await this.session.query(
      `select exists (select from ${this.names.ranges}
                      where run_id = $1::bigint and state = 'open' and ${isOrphan('$2')}) as has_orphans`,
      [runId, dead],
    );
    return result.rows[0]?.['has_orphans'] === true;
  }

  /** Makes the open ranges claimable at once, for a run that is resumed. */
  async resetRetries(id: string): Promise<void> {
    await this.session.query(releaseRanges(this.names.ranges, '$1::bigint'), [id]);
  }

  /** The done parts of a run, `(lo, cursor]` of every range, become the ranges of the run that reverts it. */
  async layOutDone(upRunId: string, downRunId: string): Promise<void> {
    await this.session.query(
      `insert into ${this.names.ranges} (run_id, no, lo, hi, at, estimated)
       select $2::bigint, no, lo, cursor, at - passed, passed
       from ${this.names.ranges}
       where run_id = $1::bigint and cursor is not null and state <> 'quarantined'`,
      [upRunId, downRunId],
    );
  }
}
