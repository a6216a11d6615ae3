import { afterPasses } from '../../core/size/sweep.ts';
import type { Run } from '../../ledger/run/rows.ts';
import type { Session } from '../../postgres/session.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { makeLayout } from './layout.ts';

/** What becomes of a run of which a pass is done: see `afterPasses`. */
export type Swept = 'sweep' | 'done' | 'endless';

/**
 * Lays out the next sweep of a run whose present pass has no open range, where one is due. In the transaction that
 * would end the run, under its lock: no other host lays out the same one, and a crash leaves either none or all of
 * it. A sweep goes over all keys that there are now, as one range: it is expected to find little.
 */
export async function sweepAgain(session: Session, env: RunEnvironment, run: Run): Promise<Swept> {
  const ledger = env.ledger(session);
  if (run.plan.sweeps !== true) return 'done';
  const next = afterPasses(await ledger.runs.rowsByPass(run.id));
  if (next !== 'sweep') return next;
  const layout = await makeLayout(session, run.plan, 0);
  await ledger.runs.beginPass(run.id, layout.stopKey);
  await ledger.ranges.layOut(run.id, layout);
  return 'sweep';
}
