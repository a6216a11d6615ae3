import type { Key } from '../../migration/key/key.ts';
import { randomInt } from 'node:crypto';
import type { RunState } from '../../core/config/states.ts';
import type { FileHashes } from '../../core/values/file-drift.ts';
import type { Session } from '../../postgres/session.ts';
import { pg } from '../../postgres/pg.ts';
import { inOrder } from '../../postgres/transaction.ts';
import { type Direction, type Run, type RunPlan, runColumns, toRun } from './rows.ts';
import { ledgerNames, live, readLedgerVersion } from '../schema.ts';
import { LedgerPart } from '../part.ts';
import { gateName } from '../shared-sql.ts';

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

/** A plan as the ledger keeps it: with the table of the runs themselves, which a restore makes again, as all others. */
const keptPlan = (plan: string, runs: string): string =>
  `${plan}::jsonb || pg_catalog.jsonb_build_object('ledger', pg_catalog.to_regclass(${runs})::oid::text)`;

const latestColumns = runColumns.replace(
  ' plan,',
  ` case when state in (${live}) then plan else plan - 'survey' end as plan,`,
);

/** A run that is under way, as far as whoever may join it needs to know it. */
export type RunningRun = Pick<Run, 'id' | 'name' | 'epoch'>;

/** The table of runs. */
export class Runs extends LedgerPart {
  /** The live run of a migration in one direction, or null. */
  async findLive(name: string, direction: Direction): Promise<Run | null> {
    const result = await this.session.query(
      `select ${runColumns} from ${this.names.runs}
       where name = $1 and direction = $2 and state in (${live})`,
      [name, direction],
    );
    const row = result.rows[0];
    return row === undefined ? null : toRun(row);
  }

  /** All runs that are started and not ended. */
  async live(): Promise<readonly Run[]> {
    const result = await this.session.query(
      `select ${runColumns} from ${this.names.runs} where state in (${live})`,
    );
    return result.rows.map(toRun);
  }

  /** All runs that are under way and may be joined, the oldest first: not those that `up --limit` has started. */
  async running(): Promise<readonly RunningRun[]> {
    const result = await this.session.query(
      `select id::text, name, epoch from ${this.names.runs}
       where state = 'running'
         and not exists (select from ${this.names.controls} as c where c.run_id = id and c.overrides ? 'limited')
       order by ${this.names.runs}.id`,
    );
    return result.rows.map((row) => ({
      id: row.id as string,
      name: row.name as string,
      epoch: Number(row.epoch),
    }));
  }

  /** Reads one run. */
  async read(id: string): Promise<Run> {
    const result = await this.session.query(
      `select ${runColumns} from ${this.names.runs} where id = $1::bigint`,
      [id],
    );
    return toRun(result.rows[0] ?? {});
  }

  /**
   * The newest run of every migration in the `up` direction that was not reverted, if there is one, with its times; without
   * the survey of those that have ended, which is most of a run's row, and of no use any more.
   */
  async latest(): Promise<(Run & { startedAt: string; finishedAt: string | null; elapsedMs: number })[]> {
    const result = await this.session.query(
      `select distinct on (name) ${latestColumns}, to_json(started_at) #>> '{}' as started,
              to_json(finished_at) #>> '{}' as finished,
              extract(epoch from coalesce(finished_at, clock_timestamp()) - started_at) * 1000 as elapsed_ms
       from ${this.names.runs} where direction = 'up'
       order by name, state = 'reverted', ${this.names.runs}.id desc`,
    );
    return result.rows.map((row) => ({
      ...toRun(row),
      startedAt: row.started as string,
      finishedAt: row.finished as string | null,
      elapsedMs: Number(row.elapsed_ms),
    }));
  }

  /**
   * Inserts a run in state `running`, without ranges; its `start_xid` is the inserting transaction. In this host's turn,
   * or two would take numbers after the same one.
   */
  async insert(run: NewRun): Promise<Run> {
    const result = await this.session.query(
      `with run as (
         insert into ${this.names.runs}
           (id, name, direction, state, reverts, start_xid, plan, file_sha256, plan_sha256, estimated_rows, imports)
         select coalesce(max(id), 0) + $9::bigint, $1, $2, 'running', $3::bigint, pg_catalog.pg_current_xact_id(),
                ${keptPlan('$4', '$10')}, $5, $6, $7::double precision, $8::jsonb
         from ${this.names.runs}
         returning *
       ), controls as (
         insert into ${this.names.controls} (run_id) select id from run
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
        this.names.runs,
      ],
    );
    return toRun(result.rows[0] ?? {});
  }

  /** Notes that the first ranges of a run are there, up to `stopKey`; the run as it is then. */
  async markLaidOut(id: string, stopKey: Key | null): Promise<Run> {
    const result = await this.session.query(
      `update ${this.names.runs} set is_laid_out = true, stop_key = $2::text[]
       where id = $1::bigint returning ${runColumns}`,
      [id, stopKey],
    );
    return toRun(result.rows[0] ?? {});
  }

  /** Moves a run to `state`, with a new epoch: no transaction of the old epoch can commit afterwards. */
  async changeState(id: string, state: RunState, error: string | null = null): Promise<Run> {
    const result = await this.session.query(
      `update ${this.names.runs}
       set state = $2, epoch = epoch + $4::bigint, error = $3,
           finished_at = case when $2 in ('done', 'reverted') then clock_timestamp() end
       where id = $1::bigint
       returning ${runColumns}`,
      [id, state, error === null ? null : this.session.storable(error), randomStep(epochStep)],
    );
    return toRun(result.rows[0] ?? {});
  }

  /** Notes that a run continues with another file, and what its select means now, where that may differ. */
  async adopt(
    id: string,
    now: FileHashes & { readonly planSha256: string; readonly plan?: RunPlan },
  ): Promise<void> {
    await this.session.query(
      `update ${this.names.runs}
       set file_sha256 = $2, plan_sha256 = $3, plan = coalesce(${keptPlan('$4', '$6')}, plan), imports = $5::jsonb
       where id = $1::bigint`,
      [
        id,
        now.fileSha256,
        now.planSha256,
        now.plan === undefined ? null : JSON.stringify(now.plan),
        JSON.stringify(now.imports),
        this.names.runs,
      ],
    );
  }

  /** Notes how many quarantined rows of a rollback are tried again, now that the others are restored. */
  async noteTried(id: string, rows: number): Promise<void> {
    await this.session.query(
      `update ${this.names.runs} set plan = pg_catalog.jsonb_set(plan, '{images,tried}', pg_catalog.to_jsonb($2::integer))
       where id = $1::bigint`,
      [id, rows],
    );
  }

  /** An SQL expression: the number of the advisory lock by which changes of a run's state pass its chunks. */
  #gate(id: string): string {
    const name = pg.escapeLiteral(gateName(this.names.schema, id));
    return `pg_catalog.hashtextextended(${name}, 0)`;
  }

  /**
   * A call for the statement before `advance`, which locks the run's row in share mode: such locks pass by whoever waits
   * for the row, and with many small chunks a change of state would wait forever. The queue of this lock is fair, and it
   * is of this run alone.
   */
  passGate(id: string): string {
    return `pg_catalog.pg_advisory_xact_lock_shared(${this.#gate(id)})`;
  }

  /**
   * Locks a run row until the transaction ends, and says whether a range is still open: no chunk passes its last check
   * in the meantime, and those that have are waited for.
   */
  async lock(id: string): Promise<{ run: Run; openRanges: number; quarantined: number }> {
    const [, locked, open] = await inOrder([
      this.session.query(`select pg_catalog.pg_advisory_xact_lock(${this.#gate(id)})`),
      this.session.query(
        `select ${runColumns} from ${this.names.runs} where id = $1::bigint for update -- one host finishes`,
        [id],
      ),
      // In one trip, but started when the lock is there: with a snapshot of that moment.
      this.session.query(
        `select count(*) filter (where state = 'open') as open,
                count(*) filter (where state = 'quarantined') as quarantined
         from ${this.names.ranges} where run_id = $1::bigint`,
        [id],
      ),
    ]);
    const { open: openRanges, quarantined } = (open.rows[0] ?? {}) as { open: number; quarantined: number };
    return { run: toRun(locked.rows[0] ?? {}), openRanges, quarantined };
  }

  /** The newest `up` run of a migration that is done, or null. */
  async findDone(name: string): Promise<Run | null> {
    const result = await this.session.query(
      `select ${runColumns} from ${this.names.runs} as r
       where name = $1 and direction = 'up' and state = 'done' order by r.id desc limit 1`,
      [name],
    );
    const row = result.rows[0];
    return row === undefined ? null : toRun(row);
  }

  /** The run that `down` goes back over: the newest `up` run that is done or live, locked; or null. */
  async lockToRevert(name: string): Promise<Run | null> {
    const result = await this.session.query(
      `select max(id)::text as id from ${this.names.runs} where name = $1 and direction = 'up' and state <> 'reverted'`,
      [name],
    );
    const id = result.rows[0]?.['id'] as string | null | undefined;
    return id == null ? null : (await this.lock(id)).run;
  }

  /**
   * Has a run continue by another plan, in another pass or up to another key. In a new epoch: no chunk of the old one
   * can be committed. Call under the run's lock; its ranges follow.
   */
  async replan({
    id,
    plan,
    pass,
    stopKey,
    estimatedRows,
  }: Pick<Run, 'id' | 'plan' | 'pass' | 'stopKey' | 'estimatedRows'>): Promise<void> {
    await this.session.query(
      `update ${this.names.runs}
       set plan = ${keptPlan('$2', '$7')}, pass = $3::integer, stop_key = $4::text[],
           estimated_rows = $5::double precision, epoch = epoch + $6::bigint
       where id = $1::bigint`,
      [id, JSON.stringify(plan), pass, stopKey, estimatedRows, randomStep(epochStep), this.names.runs],
    );
  }

  /** Rows that each pass of a run has done so far, in their order. */
  async rowsByPass(runId: string): Promise<readonly number[]> {
    const result = await this.session.query(
      `select coalesce(sum(r.rows), 0)::bigint as rows
       from ${this.names.runs} as run
       cross join lateral pg_catalog.generate_series(0, run.pass) as way (pass)
       left join ${this.names.ranges} as r on r.run_id = run.id and r.pass = way.pass
       where run.id = $1::bigint
       group by way.pass order by way.pass`,
      [runId],
    );
    return result.rows.map((row) => row.rows as number);
  }

  /** Notes that a run goes over its table once more, up to `stopKey`. Call under the run's lock; its ranges follow. */
  async beginPass(runId: string, stopKey: Key | null): Promise<void> {
    await this.session.query(
      `update ${this.names.runs} set pass = pass + 1, stop_key = $2::text[] where id = $1::bigint`,
      [runId, stopKey],
    );
  }
}
