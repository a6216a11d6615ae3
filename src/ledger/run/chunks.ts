import { randomUUID } from 'node:crypto';
import { type Overrides, parseOverrides } from '../../core/config/steering.ts';
import type { Space, Position } from '../../migration/key/key.ts';
import type { Statement } from '../../migration/key/sql.ts';
import { codeOf } from '../../errors.ts';
import { LedgerPart } from '../part.ts';
import { readLedgerVersion } from '../schema.ts';

/** What the range row and the run row said when the chunk's transaction took the range's lock. */
export interface Owned {
  readonly space: Space;
  readonly after: Position | null;
  readonly cursor: Position | null;
  readonly hi: Position;
  readonly maxRows: number | null;
  /** Position of the cursor, in rows of the table, and such rows that are left of the range. */
  readonly at: number;
  readonly left: number;
  /** No other range waits for somebody. */
  readonly isAtEnd: boolean;
  readonly pass: number;
  /** 1 for the first try after the cursor, counted up durably. */
  readonly attempt: number;
  readonly runState: string;
  readonly epoch: number;
  readonly overrides: Overrides;
}

export interface Advance {
  readonly runId: string;
  readonly no: number;
  readonly token: string;
  readonly epoch: number;
  /** The cursor that `lockRange` read; the advance needs it unchanged. */
  readonly from: Position | null;
  readonly to: Position;
  /** True at the end of the range. */
  readonly last: boolean;
  readonly rows: number;
  /** Rows of the table passed, whether they match or not, by count. */
  readonly passed: number;
  /** What a survey says of that: see `Bounds`. */
  readonly bounds: Bounds | null;
  readonly busyMs: number;
}

/**
 * How many rows of the table a cursor has passed at least, and at most, by the keys of a survey that it has passed:
 * `step` for each of them, less the `offset` at which it began. Counts of rows that match, or by estimate, are held to it.
 */
export interface Bounds {
  /** The number of those keys, as an expression. */
  readonly count: Statement;
  readonly step: number;
  readonly offset: number;
}

/** Where the placeholders of `Bounds` begin. */
export const boundsFrom = 11;

/** What `advance` found. The chunk may commit only where all three hold. */
export interface Advanced {
  /** The guard token was still there: nobody ended the transaction. */
  readonly guarded: boolean;
  /** The cursor moved. */
  readonly moved: boolean;
  /** Rows of the table by which the cursor moved. */
  readonly passed: number;
  readonly runState: string;
  readonly epoch: number;
}

/** What the transaction of a chunk does to the ledger. */
export class Chunks extends LedgerPart {
  /**
   * Takes the range's row lock for this transaction and opens the commit guard: from here on any COMMIT
   * fails with 23503 until `advance` has deleted the token. Null where the range is gone or not open.
   */
  async lockRange(runId: string, no: number, token: string): Promise<Owned | null> {
    const result = await this.session.query(
      `with own as materialized (
         select space, pass, lo, cursor, hi, max_rows, at, estimated, greatest(attempts + open_claims, 1) as attempt
         from ${this.names.ranges}
         where run_id = $1::bigint and no = $2::integer and state = 'open'
         for update -- the authority over the chunk, held until its transaction ends
       ), guard as (
         insert into ${this.names.guardOpen} (token) select $3::uuid from own
       )
       select own.space, coalesce(own.cursor, own.lo) as after, own.cursor, own.hi, own.max_rows, own.attempt,
              own.at, own.estimated, own.pass,
              not exists (select from ${this.names.ranges} as other
                          where other.run_id = $1::bigint and other.state = 'open' and other.worker is null) as is_at_end,
              run.state as run_state, run.epoch, c.overrides
       from own cross join ${this.names.runs} as run left join ${this.names.controls} as c on c.run_id = run.id
       where run.id = $1::bigint`,
      [runId, no, token],
    );
    const row = result.rows[0];
    if (row === undefined) return null;
    return {
      space: row.space as Space,
      after: row.after as Position | null,
      cursor: row.cursor as Position | null,
      hi: row.hi as Position,
      maxRows: row.max_rows as number | null,
      at: row.at as number,
      left: row.estimated as number,
      isAtEnd: row.is_at_end === true,
      pass: row.pass as number,
      attempt: row.attempt as number,
      runState: row.run_state as string,
      epoch: row.epoch as number,
      overrides: parseOverrides(row.overrides),
    };
  }

  /**
   * Whether the guard works on this server: a deferred foreign key is let pass by its statement, and refused when it is
   * checked, as COMMIT does. In a savepoint of the open transaction, in one trip.
   */
  async isGuardKept(): Promise<boolean> {
    const { session } = this;
    const [, opened, checked, undone] = await Promise.allSettled([
      session.query('savepoint umzug_cluster_guard'),
      this.openGuard(randomUUID()),
      session.query('set constraints all immediate'),
      session.query('rollback to savepoint umzug_cluster_guard'),
    ]);
    if (undone.status === 'rejected') throw undone.reason;
    return (
      opened.status === 'fulfilled' && checked.status === 'rejected' && codeOf(checked.reason) === '23503'
    );
  }

  /** Opens the commit guard for a transaction that owns no range. */
  async openGuard(token: string): Promise<void> {
    await this.session.query(`insert into ${this.names.guardOpen} (token) values ($1::uuid)`, [token]);
  }

  /** Closes the commit guard; false where the token is gone because somebody rolled back. */
  async closeGuard(token: string): Promise<boolean> {
    const result = await this.session.query(`delete from ${this.names.guardOpen} where token = $1::uuid`, [
      token,
    ]);
    return result.rowCount === 1;
  }

  /**
   * The last statement of a chunk: locks the run row in share mode (it may wait for `down` or `pause` and
   * then sees their epoch), closes the guard, and moves the cursor.
   */
  async advance(step: Advance): Promise<Advanced> {
    const { bounds } = step;
    const passedKeys = bounds === null ? '' : `${bounds.count.text} * ${bounds.step}::double precision`;
    const passed =
      bounds === null
        ? '$8::double precision'
        : `(select greatest(least(greatest($8::double precision, floor), floor + ${bounds.step}::double precision), 0)
            from (select ${passedKeys} - ${bounds.offset}::double precision as floor) as by_keys)`;
    const result = await this.session.query(
      `with run as materialized (
         select state, epoch from ${this.names.runs} where id = $1::bigint
         for share -- waits for, and then sees, a new epoch
       ), guard as (
         delete from ${this.names.guardOpen} where token = $3::uuid returning 1
       ), step as materialized (
         select ${passed} as passed
       ), moved as (
         update ${this.names.ranges} as r
         set cursor = $5::text[], state = case when $6::boolean then 'done' else 'open' end,
             rows = r.rows + $7::bigint, chunks = r.chunks + 1, open_claims = 0, attempts = 0,
             at = r.at + case when $6::boolean then r.estimated else least(step.passed, r.estimated) end,
             passed = r.passed + case when $6::boolean then r.estimated else least(step.passed, r.estimated) end,
             estimated = case when $6::boolean then 0 else greatest(r.estimated - step.passed, 0) end,
             busy_ms = r.busy_ms + $9::double precision, touched_at = clock_timestamp(),
             max_rows = case when r.max_rows is null or r.max_rows > 1000000 then null else r.max_rows * 2 end,
             last_error = null
         from run cross join step
         where r.run_id = $1::bigint and r.no = $2::integer and r.state = 'open'
           and r.cursor is not distinct from $10::text[]
           and run.epoch = $4::bigint and run.state = 'running'
           and exists (select from guard)
         returning step.passed
       )
       select exists (select from guard) as guarded, exists (select from moved) as moved,
              (select passed from moved) as passed, run.state, run.epoch
       from run`,
      [
        step.runId,
        step.no,
        step.token,
        step.epoch,
        step.to,
        step.last,
        step.rows,
        step.passed,
        step.busyMs,
        step.from,
        ...(bounds?.count.values ?? []),
      ],
    );
    const row = result.rows[0] ?? {};
    return {
      guarded: row.guarded === true,
      moved: row.moved === true,
      passed: Number(row.passed ?? 0),
      runState: String(row.state),
      epoch: Number(row.epoch),
    };
  }

  /**
   * Sees to it that the open transaction cannot be committed, whoever types COMMIT: with the ledger's own guard, or
   * with a temporary table where there is no ledger yet. Both go with the rollback.
   */
  async forbidCommit(schema: string): Promise<void> {
    if ((await readLedgerVersion(this.session, schema)) !== null) {
      return await this.openGuard(randomUUID());
    }
    const allowed = await this.session.query(
      `select pg_catalog.has_database_privilege(pg_catalog.current_database(), 'temp') as may`,
    );
    // Without the right there remain the word filter and the watch on the transaction's status.
    if (allowed.rows[0]?.may !== true) return;
    await this.session.query(`create temporary table pg_temp.umzug_cluster_guard (
      token integer primary key,
      closed integer not null references pg_temp.umzug_cluster_guard (token) deferrable initially deferred
    )`);
    await this.session.query('insert into pg_temp.umzug_cluster_guard (token, closed) values (1, 2)');
  }

  /**
   * Has the server check now what it would check at COMMIT, all but the guard that forbids one: a table cannot be
   * altered while rows of it wait for their check.
   */
  async checkDeferred(): Promise<void> {
    const { rows } = await this.session.query(
      `select pg_catalog.string_agg(named, ', ') as names
       from (select pg_catalog.format('%I.%I', n.nspname, c.conname) as named
             from pg_catalog.pg_constraint as c
             join pg_catalog.pg_namespace as n on n.oid operator(pg_catalog.=) c.connamespace
             where n.nspname operator(pg_catalog.!~) '^pg_'
               and c.conrelid operator(pg_catalog.<>) coalesce(pg_catalog.to_regclass($1), 0::pg_catalog.oid)
             group by n.nspname, c.conname having pg_catalog.bool_and(c.condeferrable) and pg_catalog.bool_or(c.condeferred)
            ) as waiting`,
      [this.names.guardOpen],
    );
    const names = rows[0]?.['names'] as string | null;
    if (names === null) return;
    await this.session.query(`set constraints ${names} immediate; set constraints ${names} deferred`);
  }
}
