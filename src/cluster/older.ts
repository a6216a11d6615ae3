import type { Run } from '../ledger/rows.ts';
import type { Logger } from '../logger.ts';
import type { RunEnvironment } from '../run/environment.ts';
import { waitForOlder } from '../run/register.ts';
import type { Control } from './control.ts';
import type { Session } from '../postgres/session.ts';
import type { ProgressMeter } from './progress-meter.ts';
import type { RunLedger } from './run-ledger.ts';

/** Waits for the transactions that were writing when a run began, unless told not to, and says for whom. */
export async function sayAndWaitForOlder(
  input: { readonly env: RunEnvironment; readonly control: Control; readonly logger: Logger },
  run: Run,
  by: { readonly meter: ProgressMeter; readonly ledger: RunLedger; readonly signal: AbortSignal },
): Promise<void> {
  const { env, control, logger } = input;
  const { meter, ledger, signal } = by;
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
  const between = (session: Session): Promise<void> => ledger.tell(() => meter.mark(), session);
  await control.use((session) => waitForOlder(session, env.names, run, { waiting, signal, between }));
}
