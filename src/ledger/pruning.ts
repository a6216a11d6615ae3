import { Forgetting } from './forgetting.ts';
import { LedgerPart } from './part.ts';

/** How much of the past `prune` has removed. */
export interface Pruned {
  /** Rolled back, and what has rolled them back. */
  readonly runs: number;
  readonly ranges: number;
  readonly quarantined: number;
  readonly events: number;
}

/** Removes what nobody needs any more. */
export class Pruning extends LedgerPart {
  /**
   * Removes runs that were rolled back longer than `ms` ago, by the database's clock, with the runs that have done so and
   * all that hangs on them; and events as old as that whose run is gone, or whose migration is not executed. What is
   * executed or has started keeps everything: `down` goes over its ranges. In this host's turn, in a transaction.
   */
  async removeOlderThan(ms: number): Promise<Pruned> {
    const { runs, ranges, quarantine, controls, hosts, points, steals, history, migrations, conflicts } =
      this.names;
    const old = `clock_timestamp() - $1::double precision * interval '1 millisecond'`;
    const { rows } = await this.session.query(
      `select coalesce(array_agg(up.id), '{}')::text[] as ids
       from ${runs} as up
       where up.direction = 'up' and up.state = 'reverted' and coalesce(up.finished_at, up.started_at) < ${old}
         and not exists (select from ${runs} as d where d.reverts = up.id and (
               d.state not in ('done', 'reverted') or coalesce(d.finished_at, d.started_at) >= ${old}))
         and not exists (select from ${migrations} as m where m.run_id = up.id)`,
      [ms],
    );
    const ids = rows[0]?.['ids'] as readonly string[];
    const both = `select id from ${runs} where id = any ($1::bigint[]) or reverts = any ($1::bigint[])`;
    const remove = async (table: string): Promise<number> =>
      (await this.session.query(`delete from ${table} where run_id in (${both})`, [ids])).rowCount ?? 0;
    const removed = { quarantined: await remove(quarantine), ranges: await remove(ranges) };
    await remove(controls);
    await remove(hosts);
    await remove(points);
    await remove(steals);
    await remove(conflicts);
    await new Forgetting(this.session, this.names).drop(ids);
    const gone = await this.session.query(`delete from ${runs} where id in (${both})`, [ids]);
    const events = await this.session.query(
      `delete from ${history} as h where h.at < ${old} and case when h.run_id is null
         then not exists (select from ${migrations} as m where m.name = h.migration)
         else not exists (select from ${runs} as r where r.id = h.run_id) end`,
      [ms],
    );
    return { runs: gone.rowCount ?? 0, ...removed, events: events.rowCount ?? 0 };
  }
}
