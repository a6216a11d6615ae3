import { type Overrides, parseOverrides } from '../../core/config/steering.ts';
import type { RunState } from '../../core/config/states.ts';
import { LedgerPart } from '../part.ts';
import type { RunPlan } from './rows.ts';

/** How a run stands, as those who work on it look at it again and again. */
export interface RunReading {
  readonly state: RunState;
  readonly epoch: number;
  readonly overrides: Overrides;
  readonly plan: Pick<RunPlan, 'auto'>;
}

/** From the first row with these values in its key on, up to the last one with those; of several columns the first few. */
export interface KeyPart {
  readonly from: readonly string[] | null;
  readonly to: readonly string[] | null;
}

/** Whether a run is to stop after some rows, perhaps of a part of its keys. */
export type Limited = boolean | KeyPart;

/**
 * What operators say to a run while it runs. It has a table of its own: the run's row is locked in share mode
 * by every chunk, so that a change of settings would have to wait for a moment in which there is none.
 */
export class Controls extends LedgerPart {
  /** Reads how a run stands. Waits for no lock. */
  async read(runId: string): Promise<RunReading> {
    return (await this.readAll([runId])).get(runId) ?? toReading({});
  }

  /** The same of several runs, in one statement. */
  async readAll(runIds: readonly string[]): Promise<ReadonlyMap<string, RunReading>> {
    const result = await this.session.query(
      `select run.id::text, run.state, run.epoch, run.plan -> 'auto' as auto, c.overrides
       from ${this.names.runs} as run left join ${this.names.controls} as c on c.run_id = run.id
       where run.id = any ($1::bigint[])`,
      [runIds],
    );
    return new Map(result.rows.map((row) => [row.id as string, toReading(row)]));
  }

  /** Notes whether a run is to stop after some rows (`up --limit`): then only another `up` continues it. */
  async limit(runId: string, limited: Limited): Promise<void> {
    await this.session.query(
      `update ${this.names.controls}
       set overrides = case when $2::jsonb = 'false' then overrides - 'limited'
                            else overrides || jsonb_build_object('limited', $2::jsonb) end
       where run_id = $1::bigint and coalesce(overrides -> 'limited', 'false') <> $2::jsonb`,
      [runId, JSON.stringify(limited)],
    );
  }

  /** The part of the keys to which a run is limited for now; null: to none. */
  async partOf(runId: string): Promise<KeyPart | null> {
    const { rows } = await this.session.query(
      `select overrides -> 'limited' as part from ${this.names.controls}
       where run_id = $1::bigint and jsonb_typeof(overrides -> 'limited') = 'object'`,
      [runId],
    );
    return (rows[0]?.['part'] as KeyPart | undefined) ?? null;
  }

  /** Whether a run is to stop after some rows, or has. */
  async isLimited(runId: string): Promise<boolean> {
    const { rows } = await this.session.query(
      `select overrides ? 'limited' as is_limited from ${this.names.controls} where run_id = $1::bigint`,
      [runId],
    );
    return rows[0]?.['is_limited'] === true;
  }

  /**
   * Changes what an operator has set for a run: `set` replaces keys, `cleared` takes them away. Whoever waits for
   * a pace looks again. Returns what is set afterwards.
   */
  async change(
    runId: string,
    change: { readonly set: Overrides; readonly cleared: readonly string[] },
  ): Promise<Overrides> {
    const result = await this.session.query(
      `update ${this.names.controls}
       set overrides = (overrides || $2::jsonb) - $3::text[], free_at = '-infinity'
       where run_id = $1::bigint
       returning overrides`,
      [runId, JSON.stringify(change.set), change.cleared],
    );
    return parseOverrides(result.rows[0]?.['overrides']);
  }
}

function toReading(row: Record<string, unknown>): RunReading {
  return {
    state: row.state as RunState,
    epoch: Number(row.epoch),
    overrides: parseOverrides(row.overrides),
    plan: row.auto == null ? {} : { auto: row.auto as NonNullable<RunPlan['auto']> },
  };
}
