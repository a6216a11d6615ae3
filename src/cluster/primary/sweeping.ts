import type { Run } from '../../ledger/run/rows.ts';
import type { Logger } from '../../logger.ts';

/** Says that a run goes over its table once more, after so many rows. */
export function saySweeping(logger: Logger, { name, pass, plan }: Run, rows: number): void {
  const sweep = pass - (plan.mainPass ?? 0);
  const message = `${name}: sweep ${sweep}, for rows that were inserted or changed during the run`;
  logger.info({ event: 'run.sweeping', migration: name, sweep, rows }, message);
}

/** Says in which order a run goes over its table from now on, and why. */
export function sayOrder(logger: Logger, { plan: before }: Run, { name, plan }: Run): void {
  const order = plan.rowsPerBlock === undefined ? 'key' : 'physical';
  const does = before.rowsPerBlock === undefined ? 'rows that were updated first' : 'some updated rows';
  const reason =
    order === 'physical'
      ? (plan.auto?.why ?? '')
      : `${does} still match select, which the physical order does not allow`;
  const what = order === 'physical' ? 'in physical order, then sweeps' : 'in key order';
  const override = order === 'physical' ? `; options.order = 'key' overrides it` : '';
  logger.info(
    { event: 'run.order', migration: name, order, reason },
    `${name}: ${what}: ${reason}${override}`,
  );
}

/** Says that a run was ended though its last sweep has found rows. */
export function sayEndless(logger: Logger, { name, pass, plan }: Run): void {
  const sweeps = pass - (plan.mainPass ?? 0);
  const message = `${name}: ended after ${sweeps} sweeps: the application inserts rows as fast as they are migrated; see what is left: umzug-cluster verify ${name}`;
  logger.warn({ event: 'run.endless', migration: name, sweeps }, message);
}
