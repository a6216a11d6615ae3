import type { Control } from '../cluster/worker/control.ts';
import { rowsLeft } from '../core/values/numbers.ts';
import type { Run } from '../ledger/run/rows.ts';
import type { Logger } from '../logger.ts';
import type { Session } from '../postgres/session.ts';
import type { RunEnvironment } from '../run/context/environment.ts';
import { lookForLeft, lookMs } from '../run/lifecycle/left-behind.ts';
import type { DataMigration } from '../run/context/step.ts';

// The server stops by itself; a network that is dead does not.
const answerMs = lookMs + 500;

/** Where the question is asked, and what ends it early. */
export interface Looking {
  readonly control: Control;
  readonly env: RunEnvironment;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * How many rows an ended run has left behind, which it warns of; null where that is not known. The run is done and
 * recorded: whatever comes in between is passed over, and no more than a moment is spent on it.
 */
export async function sayLeft(
  { control, env, logger, signal }: Looking,
  migration: DataMigration,
  run: Run,
  rows: number,
): Promise<number | null> {
  const ended = { rows, isDraining: run.plan.sweeps === true };
  const look = (session: Session): Promise<number | null> => lookForLeft(session, env, migration, ended);
  const left = await control.attempt(look, answerMs, signal);
  if (left !== null && left > 0) {
    const { name } = migration;
    logger.warn(
      { event: 'run.left', migration: name, rows: left },
      `${name}: ${rowsLeft(left)} after the run`,
    );
  }
  return left;
}
