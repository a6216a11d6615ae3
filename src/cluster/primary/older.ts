import type { Run } from '../../ledger/run/rows.ts';
import type { Logger } from '../../logger.ts';
import type { RunEnvironment } from '../../run/context/environment.ts';
import { waitForOlder } from '../../run/lifecycle/register.ts';
import type { Control } from '../worker/control.ts';
import type { Session } from '../../postgres/session.ts';
import type { ProgressMeter } from './progress-meter.ts';
import type { RunLedger } from './run-ledger.ts';

/** Waits for the transactions that were writing when a run began, and says for whom; the run, laid out. */
export async function sayAndWaitForOlder(
  input: { readonly env: RunEnvironment; readonly control: Control; readonly logger: Logger },
  run: Run,
  by: { readonly meter: ProgressMeter; readonly ledger: RunLedger; readonly signal: AbortSignal },
): Promise<Run> {
  if (run.isLaidOut) return run;
  const { env, control, logger } = input;
  const { meter, ledger, signal } = by;
  let isSaid = false;
  const waiting = (reason: string | null): void => {
    if (reason !== null && !isSaid) {
      isSaid = true;
      const message = `${run.name}: waiting for ${reason}, which was already writing when the run started`;
      logger.info({ event: 'run.waiting', migration: run.name, reason }, message);
    }
    meter.waiting(reason);
  };
  const between = (session: Session): Promise<void> => ledger.tell(() => meter.mark(), session);
  return await control.use((session) => waitForOlder(session, env, run, { waiting, signal, between }));
}
