import type { Run, RunPlan } from '../../ledger/run/rows.ts';
import type { Session } from '../../postgres/session.ts';
import { withTransaction } from '../../postgres/transaction.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { makeLayout } from './layout.ts';

/** Has a run that goes over blocks continue by key, since not all of its rows drain; does nothing where it does by now. */
export async function continueByKey(
  session: Session,
  env: RunEnvironment,
  { id, epoch }: Pick<Run, 'id' | 'epoch'>,
): Promise<void> {
  const ledger = env.ledger(session);
  await withTransaction(session, env.pinned, async () => {
    // Other lanes may steal and quarantine in the meantime.
    await ledger.ranges.lockNumbers(id);
    const { run } = await ledger.runs.lock(id);
    if (run.state !== 'running' || run.epoch !== epoch) return;
    const { auto: _auto, sweeps: _sweeps, rowsPerBlock: _rowsPerBlock, ...rest } = run.plan;
    const pass = run.pass + 1;
    const { survey } = rest;
    // What it says of rows that match is no longer true of any part of the table.
    const known = survey === undefined ? {} : { survey: { ...survey, found: null } };
    const plan: RunPlan = { ...rest, ...known, droppedPasses: pass };
    // A bad row is one of the rest.
    await ledger.quarantine.reopen(id);
    const layout = await makeLayout(session, plan, env.tuning.workers);
    await ledger.runs.replan({ id, plan, pass, stopKey: layout.stopKey, estimatedRows: -1 });
    await ledger.ranges.layOut(id, layout);
  });
}
