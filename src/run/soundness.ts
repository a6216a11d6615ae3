import { fail } from '../errors.ts';
import type { Run } from '../ledger/rows.ts';
import { contradictions, misplacedCursors } from '../ledger/soundness.ts';
import type { Session } from '../postgres/session.ts';
import type { RunEnvironment } from './environment.ts';
import type { Plan } from './plan.ts';

/** Refuses to work on a migration of which the ledger contradicts itself: what it says is done may not be. */
export async function refuseUnsound(session: Session, env: RunEnvironment, name: string): Promise<void> {
  const found = await contradictions(session, env.names, name);
  if (found.length > 0) throw unsoundError(found);
}

/** The same for the cursors of a run that is taken up; its plan must be this host's. */
export async function refuseMisplaced(
  session: Session,
  env: RunEnvironment,
  run: Run,
  plan: Plan,
): Promise<void> {
  const found = await misplacedCursors(session, env.names, run, plan.base);
  if (found.length > 0) throw unsoundError(found);
}

/** The error that names what contradicts itself. */
export function unsoundError(problems: readonly string[], report?: object): Error {
  return fail('LEDGER_DAMAGED', {
    message: 'the ledger contradicts itself: it was edited, or restored without the data',
    detail: `${problems.join('\n')}\nnothing was changed`,
    report,
    hint: 'restore ledger and data from one backup; see "What if the ledger is damaged?" in docs/operating.md',
  });
}
