import { fail } from '../../errors.ts';
import type { Run } from '../../ledger/run/rows.ts';
import type { Session } from '../../postgres/session.ts';
import { inOrder } from '../../postgres/transaction.ts';
import { refuseRecreated } from '../checks/drift.ts';
import type { RunEnvironment } from '../context/environment.ts';
import type { Plan } from '../analyze/plan.ts';

/**
 * Refuses to work on a migration of which the ledger is inconsistent, or whose table was recreated: what it says is
 * done may not be. `allowed`: the latter is returned.
 */
export async function refuseUnsound(
  session: Session,
  env: RunEnvironment,
  name: string,
  allowed: 'recreated' | null = null,
): Promise<boolean> {
  const ledger = env.ledger(session);
  const [found, recreated] = await inOrder([
    ledger.soundness.contradictions(name),
    ledger.migrations.recreatedTables(name),
  ]);
  if (found.length > 0) throw unsoundError(found);
  if (allowed === null) refuseRecreated(recreated);
  return recreated.length > 0;
}

/** The same for the cursors of a run that is resumed; its plan must be this host's. */
export async function refuseMisplaced(
  session: Session,
  env: RunEnvironment,
  run: Run,
  plan: Plan,
): Promise<void> {
  const found = await env.ledger(session).soundness.misplacedCursors(run, plan.base);
  if (found.length > 0) throw unsoundError(found);
}

/** The error that names what is inconsistent. */
export function unsoundError(problems: readonly string[], report?: object): Error {
  return fail('LEDGER_DAMAGED', {
    message: 'the ledger is inconsistent: it was edited, or restored without the data',
    detail: `${problems.join('\n')}\nnothing was changed`,
    report,
    hint: 'restore ledger and data from one backup; see "What if the ledger is damaged?" in docs/operating.md',
  });
}
