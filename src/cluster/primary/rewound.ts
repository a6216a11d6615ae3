import { grouped } from '../../core/values/numbers.ts';
import { fail } from '../../errors.ts';
import type { Run } from '../../ledger/run/rows.ts';
import type { Logger } from '../../logger.ts';

/**
 * A database may go back in time under a run: a standby takes over that had not received the last commits, or a backup
 * is restored. Data and ledger go back together, so nothing is wrong; but it has to be said.
 */

/** Says that rows of a run were undone, and that it resumes there. */
export function sayRewound(logger: Logger, { name }: Run, rows: number): void {
  const message = `${name}: the database went back in time: at least ${grouped(rows)} migrated rows are undone, in both data and ledger; they will be migrated again`;
  logger.warn({ event: 'run.rewound', migration: name, rows }, message);
}

/** The end of a command whose run is not in the ledger any more, or only as it was before the command. */
export function rewoundError({ name, direction }: Run, rows: number): Error {
  const undone =
    rows === 0 ? '' : `; at least ${grouped(rows)} rows it had migrated are undone, in both data and ledger`;
  return fail('DATABASE_UNAVAILABLE', {
    message: `${name}: the database went back in time, to before this command started its run`,
    detail: `the run is no longer in the ledger, as happens after a failover that lost the last commits, or after a restore${undone}`,
    hint: `run \`umzug-cluster ${direction === 'up' ? 'up' : `down --name ${name}`}\` again; if the ledger alone was dropped or restored, see "What if the database goes back in time?" in docs/operating.md first`,
  });
}
