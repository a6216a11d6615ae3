import { randomInt } from 'node:crypto';
import { type RunState, liveStates } from '../../core/config/states.ts';
import type { FileHashes } from '../../core/values/file-drift.ts';
import type { Session } from '../../postgres/session.ts';
import { pg } from '../../postgres/pg.ts';
import { inOrder } from '../../postgres/transaction.ts';
import { type Direction, type Key, type Run, type RunPlan, runColumns, toRun } from './rows.ts';
import { type LedgerNames, ledgerNames, readLedgerVersion } from '../schema.ts';

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

/** Whether the ledger knows a run at this epoch or a later one: one that went back in time may not. */
export async function knowsRun(
  session: Session,
  schema: string,
  { id, epoch }: Pick<Run, 'id' | 'epoch'>,
): Promise<boolean> {
  if ((await readLedgerVersion(session, schema)) === null) return false;
  const sql = `select from ${ledgerNames(schema).runs} where id = $1::bigint and epoch >= $2::bigint`;
  return (await session.query(sql, [id, epoch])).rowCount === 1;
}

/** The newest run of every migration in the `up` direction that was not reverted, if there is one, with its times. */
export async function latestRuns(
  session: Session,
  names: LedgerNames,
): Promise<(Run & { startedAt: string; finishedAt: string | null; elapsedMs: number })[]> {
  const result = await session.query(
    `select distinct on (name) ${runColumns}, to_json(started_at) #>> '{}' as started,
            to_json(finished_at) #>> '{}' as finished,
            extract(epoch from coalesce(finished_at, clock_timestamp()) - started_at) * 1000 as elapsed_ms
     from ${names.runs} where direction = 'up'
     order by name, state = 'reverted', ${names.runs}.id desc`,
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
  readonly estimatedRows: number;
}

/**
 * A step of a run's id or epoch. Both only grow, and neither comes twice: a database that went back in time (a failover
 * that lost commits, a restore, a ledger that was dropped) gives the next run and the next epoch other numbers than
 * those that a host may still have in mind. So whoever checks them checks all that a run is: its name, plan and file.
 */
const randomStep = (most: number): number => randomInt(1, most);
// 8 million runs before a bigint is full, and 2 million epochs before a number is not exact in JavaScript.
const idStep = 2 ** 40;
const epochStep = 2 ** 32;

/** A plan as the ledger keeps it: with the table of the runs themselves, which a restore makes anew, as all others. */
const keptPlan = (plan: string, runs: string): string =>
  `${plan}::jsonb || pg_catalog.jsonb_build_object('ledger', pg_catalog.to_regclass(${runs})::oid::text)`;

/**
 * Inserts a run in state `running`, without ranges; its `start_xid` is the inserting transaction. In this host's turn,
 * or two would take numbers after the same one.
 */
export async function insertRun(session: Session, names: LedgerNames, run: NewRun): Promise<Run> {
  const result = await session.query(
    `with run as (
       insert into ${names.runs}
         (id, name, direction, state, reverts, start_xid, plan, file_sha256, plan_sha256, estimated_rows, imports)
       select coalesce(max(id), 0) + $9::bigint, $1, $2, 'running', $3::bigint, pg_catalog.pg_current_xact_id(),
              ${keptPlan('$4', '$10')}, $5, $6, $7::double precision, $8::jsonb
       from ${names.runs}
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
      run.estimatedRows,
      JSON.stringify(run.imports),
      randomStep(idStep),
      names.runs,
    ],
  );
  return toRun(result.rows[0] ?? {});
}

/** Notes that the first ranges of a run are there, up to `stopKey`; the run as it is then. */
export async function markLaidOut(
  session: Session,
  names: LedgerNames,
  id: string,
  stopKey: Key | null,
): Promise<Run> {
  const result = await session.query(
    `update ${names.runs} set is_laid_out = true, stop_key = $2::text[]
     where id = $1::bigint returning ${runColumns}`,
    [id, stopKey],
  );
  return toRun(result.rows[0] ?? {});
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
     set state = $2, epoch = epoch + $4::bigint, error = $3,
         finished_at = case when $2 in ('done', 'reverted') then clock_timestamp() end
     where id = $1::bigint
     returning ${runColumns}`,
    [id, state, error === null ? null : session.storable(error), randomStep(epochStep)],
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
     set file_sha256 = $2, plan_sha256 = $3, plan = coalesce(${keptPlan('$4', '$6')}, plan), imports = $5::jsonb
     where id = $1::bigint`,
    [
      id,
      now.fileSha256,
      now.planSha256,
      now.plan === undefined ? null : JSON.stringify(now.plan),
      JSON.stringify(now.imports),
      names.runs,
    ],
  );
}

/**
 * Makes the open ranges claimable at once, for a run that is taken up again. One that is locked has a chunk of an older
 * epoch in flight, which may take long, and gives its range back when it finds out.
 */
export async function resetRetries(session: Session, names: LedgerNames, id: string): Promise<void> {
  await session.query(
    `with idle as materialized (
       select no from ${names.ranges} where run_id = $1::bigint and state = 'open' for update skip locked
     )
     update ${names.ranges} as r set next_try = '-infinity', worker = null, stalls = 0
     from idle where r.run_id = $1::bigint and r.no = idle.no`,
    [id],
  );
}

/** An SQL expression: the number of the advisory lock by which changes of a run's state pass its chunks. */
const gateOf = (names: LedgerNames, id: string): string =>
  `pg_catalog.hashtextextended(${pg.escapeLiteral(`umzug-cluster run ${names.schema} ${id}`)}, 0)`;

/**
 * A call for the statement before `advance`, which locks the run's row in share mode: such locks pass by whoever waits
 * for the row, and with many small chunks a change of state would wait for ever. The queue of this lock is fair, and it
 * is of this run alone.
 */
export const passGate = (names: LedgerNames, id: string): string =>
  `pg_catalog.pg_advisory_xact_lock_shared(${gateOf(names, id)})`;

/**
 * Locks a run row until the transaction ends, and says whether a range is still open: no chunk passes its last check
 * meanwhile, and those that have are waited for.
 */
export async function lockRun(
  session: Session,
  names: LedgerNames,
  id: string,
): Promise<{ run: Run; openRanges: number; quarantined: number }> {
  const [, locked, open] = await inOrder([
    session.query(`select pg_catalog.pg_advisory_xact_lock(${gateOf(names, id)})`),
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
    `insert into ${names.ranges} (run_id, no, lo, hi, at, estimated)
     select $2::bigint, no, lo, cursor, at - passed, passed
     from ${names.ranges}
     where run_id = $1::bigint and cursor is not null and state <> 'void'`,
    [upRunId, downRunId],
  );
}

/** The newest `up` run of a migration that is done, or null. */
export async function findDone(session: Session, names: LedgerNames, name: string): Promise<Run | null> {
  const result = await session.query(
    `select ${runColumns} from ${names.runs} as r
     where name = $1 and direction = 'up' and state = 'done' order by r.id desc limit 1`,
    [name],
  );
  const row = result.rows[0];
  return row === undefined ? null : toRun(row);
}

/** The run that `down` goes back over: the newest `up` run that is done or live, locked; or null. */
export async function findRunToRevert(
  session: Session,
  names: LedgerNames,
  name: string,
): Promise<Run | null> {
  const result = await session.query(
    `select max(id)::text as id from ${names.runs} where name = $1 and direction = 'up' and state <> 'reverted'`,
    [name],
  );
  const id = result.rows[0]?.['id'] as string | null | undefined;
  return id == null ? null : (await lockRun(session, names, id)).run;
}
