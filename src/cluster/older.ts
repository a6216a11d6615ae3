import type { Run } from '../ledger/rows.ts';
import type { Logger } from '../logger.ts';
import type { RunEnvironment } from '../run/environment.ts';
import { waitForOlder } from '../run/register.ts';
import type { Control } from './control.ts';
import type { ProgressMeter } from './progress-meter.ts';

/** Waits for the transactions that were writing when a run began, unless told not to, and says for whom. */
export async function sayAndWaitForOlder(
  input: { readonly env: RunEnvironment; readonly control: Control; readonly logger: Logger },
  run: Run,
  meter: ProgressMeter,
  signal: AbortSignal,
): Promise<void> {
  const { env, control, logger } = input;
  if (!env.tuning.waitForOldTransactions) return;
  let isSaid = false;
  const waiting = (reason: string | null): void => {
    if (reason !== null && !isSaid) {
      isSaid = true;
      const message = `${run.name}: waiting for ${reason}, which was writing when the run began`;
      logger.info({ event: 'run.waiting', migration: run.name, reason }, message);
    }
    meter.waiting(reason);
  };
  await control.use((session) => waitForOlder(session, env.names, run, { waiting, signal }));
}
