import type { Run } from '../../ledger/run/rows.ts';
import type { Logger } from '../../logger.ts';

/** Says that a run goes over its table once more, after so many rows. */
export function saySweeping(logger: Logger, { name, pass }: Run, rows: number): void {
  const message = `${name}: sweep ${pass}, for rows that were inserted or changed during the run`;
  logger.info({ event: 'run.sweeping', migration: name, sweep: pass, rows }, message);
}

/** Says that a run was ended though its last sweep has found rows. */
export function sayEndless(logger: Logger, { name, pass }: Run): void {
  const message = `${name}: ended after ${pass} sweeps: the application inserts rows as fast as they are migrated; see what is left: umzug-cluster verify ${name}`;
  logger.warn({ event: 'run.endless', migration: name, sweeps: pass }, message);
}
