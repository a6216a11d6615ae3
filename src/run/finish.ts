import { forgetExecuted, recordExecuted } from '../ledger/migrations.ts';
import type { Run } from '../ledger/rows.ts';
import { changeState, lockRun } from '../ledger/runs.ts';
import type { Session } from '../postgres/session.ts';
import { withTransaction } from '../postgres/transaction.ts';
import type { RunEnvironment } from './environment.ts';

/**
 * Ends a run when no range is open (protocol T5 and D3): its state and the table that Umzug reads change in
 * one transaction. Any host may call it, any number of times. Returns the run as it is afterwards.
 */
export async function finish(session: Session, env: RunEnvironment, runId: string): Promise<Run> {
  return await withTransaction(session, env.pinned, async () => {
    const { run, openRanges } = await lockRun(session, env.names, runId);
    if (run.state !== 'running' || openRanges > 0) return run;
    const done = await changeState(session, env.names, run.id, 'done');
    if (run.reverts === null) {
      await recordExecuted(session, env.names, {
        name: run.name,
        kind: 'data',
        runId: run.id,
        fileSha256: run.fileSha256,
      });
    } else {
      await forgetExecuted(session, env.names, run.name);
      await changeState(session, env.names, run.reverts, 'reverted');
    }
    return done;
  });
}
