import { type RunState, liveStates } from '../core/states.ts';
import type { FileHashes } from '../core/file-drift.ts';
import type { Session } from '../postgres/session.ts';
import { inOrder } from '../postgres/transaction.ts';
import { type Direction, type Key, type Run, type RunPlan, runColumns, toRun } from './rows.ts';
import type { LedgerNames } from './schema.ts';

const live = liveStates.map((state) => `'${state}'`).join(', ');

/** The live run of a migration in one direction, or null. */
export async function findLiveRun(
  session: Session,
  names: LedgerNames,
  name: string,
  direction: Direction,
): Promise<Run | null> {
  const result = await session.query(
    `select ${runColumns} from ${names.runs}
     where name = $1 and direction = $2 and state in (${live})`,
    [name, direction],
  );
  const row = result.rows[0];
  return row === undefined ? null : toRun(row);
}

/** All runs that are begun and not ended. */
export async function liveRuns(session: Session, names: LedgerNames): Promise<readonly Run[]> {
  const result = await session.query(`select ${runColumns} from ${names.runs} where state in (${live})`);
  return result.rows.map(toRun);
}

/** Reads one run. */
export async function readRun(session: Session, names: LedgerNames, id: string): Promise<Run> {
  const result = await session.query(`select ${runColumns} from ${names.runs} where id = $1::bigint`, [id]);
  return toRun(result.rows[0] ?? {});
}

/** The newest run of every migration in the `up` direction, with its times. */
export async function latestRuns(
  session: Session,
  names: LedgerNames,
): Promise<(Run & { startedAt: string; finishedAt: string | null; elapsedMs: number })[]> {
  const result = await session.query(
    `select distinct on (name) ${runColumns}, to_json(started_at) #>> '{}' as started,
            to_json(finished_at) #>> '{}' as finished,
            extract(epoch from coalesce(finished_at, clock_timestamp()) - started_at) * 1000 as elapsed_ms
     from ${names.runs} where direction = 'up'
     order by name, ${names.runs}.id desc`,
  );
  return result.rows.map((row) => ({
    ...toRun(row),
    startedAt: row.started as string,
    finishedAt: row.finished as string | null,
    elapsedMs: Number(row.elapsed_ms),
  }));
}

export interface NewRun extends FileHashes {
  readonly name: string;
  readonly direction: Direction;
  readonly reverts: string | null;
  readonly plan: RunPlan;
  readonly planSha256: string;
  readonly stopKey: Key | null;
  readonly estimatedRows: number;
}

/** Inserts a run in state `running`; its `start_xid` is the inserting transaction. */
export async function insertRun(session: Session, names: LedgerNames, run: NewRun): Promise<Run> {
  const result = await session.query(
    `with run as (
       insert into ${names.runs}
         (name, direction, state, reverts, start_xid, plan, file_sha256, plan_sha256, stop_key, estimated_rows,
          imports)
       values ($1, $2, 'running', $3::bigint, pg_catalog.pg_current_xact_id(), $4::jsonb, $5, $6, $7::text[],
               $8::double precision, $9::jsonb)
       returning *
     ), controls as (
       insert into ${names.controls} (run_id) select id from run
     )
     select ${runColumns} from run`,
    [
      run.name,
      run.direction,
      run.reverts,
      JSON.stringify(run.plan),
      run.fileSha256,
      run.planSha256,
      run.stopKey,
      run.estimatedRows,
      JSON.stringify(run.imports),
    ],
  );
  return toRun(result.rows[0] ?? {});
}

/**
 * Lets no chunk pass its last check until the transaction ends, and waits for those that have. Every chunk locks
 * its run's row in share mode, and such locks pass by whoever waits for the row: with many small chunks a change
 * of state would wait for ever. The queue of a table's lock is fair. Readers are not held up.
 */
export async function holdRuns(session: Session, names: LedgerNames): Promise<void> {
  await session.query(`lock table ${names.runs} in exclusive mode`);
}

/** Moves a run to `state`, with a new epoch: no transaction of the old epoch can commit afterwards. */
export async function changeState(
  session: Session,
  names: LedgerNames,
  id: string,
  state: RunState,
  error: string | null = null,
): Promise<Run> {
  const result = await session.query(
    `update ${names.runs}
     set state = $2, epoch = epoch + 1, error = $3,
         finished_at = case when $2 in ('done', 'reverted') then clock_timestamp() end
     where id = $1::bigint
     returning ${runColumns}`,
    [id, state, error],
  );
  return toRun(result.rows[0] ?? {});
}

/** Notes that a run goes on with another file, and what its select means now, where that may differ. */
export async function adopt(
  session: Session,
  names: LedgerNames,
  id: string,
  now: FileHashes & { readonly planSha256: string; readonly plan?: RunPlan },
): Promise<void> {
  await session.query(
    `update ${names.runs}
     set file_sha256 = $2, plan_sha256 = $3, plan = coalesce($4::jsonb, plan), imports = $5::jsonb
     where id = $1::bigint`,
    [
      id,
      now.fileSha256,
      now.planSha256,
      now.plan === undefined ? null : JSON.stringify(now.plan),
      JSON.stringify(now.imports),
    ],
  );
}

/** Makes all open ranges claimable at once, for a run that is taken up again. */
export async function resetRetries(session: Session, names: LedgerNames, id: string): Promise<void> {
  await session.query(
    `update ${names.ranges} set next_try = '-infinity', worker = null, stalls = 0
     where run_id = $1::bigint and state = 'open'`,
    [id],
  );
}

/** Locks a run row until the transaction ends and says whether a range is still open. */
export async function lockRun(
  session: Session,
  names: LedgerNames,
  id: string,
): Promise<{ run: Run; openRanges: number; quarantined: number }> {
  const [locked, open] = await inOrder([
    session.query(
      `select ${runColumns} from ${names.runs} where id = $1::bigint for update -- one host finishes`,
      [id],
    ),
    // In one trip, but begun when the lock is there: with a snapshot of that moment.
    session.query(
      `select count(*) filter (where state = 'open') as open, count(*) filter (where state = 'void') as void
       from ${names.ranges} where run_id = $1::bigint`,
      [id],
    ),
  ]);
  const { open: openRanges, void: quarantined } = (open.rows[0] ?? {}) as { open: number; void: number };
  return { run: toRun(locked.rows[0] ?? {}), openRanges, quarantined };
}

/** The done parts of a run, `(lo, cursor]` of every range, become the ranges of the run that reverts it. */
export async function layOutDone(
  session: Session,
  names: LedgerNames,
  upRunId: string,
  downRunId: string,
): Promise<void> {
  await session.query(
    `insert into ${names.ranges} (run_id, no, lo, hi, estimated)
     select $2::bigint, no, lo, cursor, rows
     from ${names.ranges}
     where run_id = $1::bigint and cursor is not null and state <> 'void'`,
    [upRunId, downRunId],
  );
}

/** The run that `down` goes back over: the newest `up` run if it is done or live, locked; or null. */
export async function findRunToRevert(
  session: Session,
  names: LedgerNames,
  name: string,
): Promise<Run | null> {
  const result = await session.query(
    `select ${runColumns} from ${names.runs}
     where id = (select max(id) from ${names.runs} where name = $1 and direction = 'up')
       and state in ('done', ${live})
     for update -- waits for chunks between their check and their commit`,
    [name],
  );
  const row = result.rows[0];
  return row === undefined ? null : toRun(row);
}
