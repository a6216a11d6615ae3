import { fail } from '../../errors.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { type HistoryEntry, whoCaused } from '../../ledger/look/history.ts';
import type { Run } from '../../ledger/run/rows.ts';

/** `by anna on host-a at 2026-11-30 06:03:00 UTC`: who holds a run, and since when; empty where that is not known. */
export async function holderOf(ledger: Ledger, { id, name, state }: Run): Promise<string> {
  if (state !== 'paused' && state !== 'cancelled') return '';
  const entry = await ledger.history.last(name, state);
  return entry === null || entry.runId !== id ? '' : `by ${whoCaused(entry)} at ${timeOf(entry)}`;
}

function timeOf({ at }: HistoryEntry): string {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** Refuses a run that an operator holds: a deploy must not undo what somebody has decided, only `resume` does. */
export async function refuseHeld(ledger: Ledger, run: Run): Promise<void> {
  if (run.state !== 'paused' && run.state !== 'cancelled') return;
  const { name, direction, state } = run;
  const what = direction === 'up' ? name : `the rollback of ${name}`;
  throw fail('STOPPED', {
    message: `${what} was ${state} ${await holderOf(ledger, run)}`.trimEnd(),
    detail: `${state === 'paused' ? 'a pause holds until it is resumed' : 'finished work is kept, and it is parked until you decide'}; nothing of it was run`,
    hint: heldHint(run),
  });
}

/** What may be typed about a run that an operator holds. */
export function heldHint({ name, direction, state }: Pick<Run, 'name' | 'direction' | 'state'>): string {
  const resume = `resume: umzug-cluster resume ${name}`;
  if (direction === 'down') return resume;
  const back = state === 'cancelled' ? `; roll back: umzug-cluster down --name ${name}` : '';
  return `${resume}${back}; run what comes after it: umzug-cluster up --past ${name}`;
}
