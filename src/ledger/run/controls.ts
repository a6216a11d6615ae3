import { type Overrides, parseOverrides } from '../../core/config/steering.ts';
import type { RunState } from '../../core/config/states.ts';
import { LedgerPart } from '../part.ts';

/** How a run stands, as those who work on it look at it again and again. */
export interface RunReading {
  readonly state: RunState;
  readonly epoch: number;
  readonly overrides: Overrides;
}

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
      `select run.id::text, run.state, run.epoch, c.overrides
       from ${this.names.runs} as run left join ${this.names.controls} as c on c.run_id = run.id
       where run.id = any ($1::bigint[])`,
      [runIds],
    );
    return new Map(result.rows.map((row) => [row.id as string, toReading(row)]));
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
  };
}
