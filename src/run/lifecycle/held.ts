import { formatTime } from '../../core/config/duration.ts';
import { isHeld } from '../../core/config/states.ts';
import { fail } from '../../errors.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { whoCaused } from '../../ledger/look/history.ts';
import type { Run } from '../../ledger/run/rows.ts';

/** `by anna on host-a at 2026-11-30 06:03:00 UTC`: who holds a run, and since when; empty where that is not known. */
export async function holderOf(ledger: Ledger, run: Run): Promise<string> {
  return (await holdersOf(ledger, [run])).get(run.id) ?? '';
}

/** The same of each of these runs that somebody holds, by id, in one statement. */
export async function holdersOf(ledger: Ledger, runs: readonly Run[]): Promise<ReadonlyMap<string, string>> {
  const held = new Map(runs.filter(({ state }) => isHeld(state)).map(({ id, state }) => [id, state]));
  const holders = new Map<string, string>();
  for (const entry of await ledger.history.holds([...held.keys()])) {
    const { runId, event } = entry;
    if (runId !== null && held.get(runId) === event)
      holders.set(runId, `by ${whoCaused(entry)} at ${formatTime(entry.at)} UTC`);
  }
  return holders;
}

/** Refuses a run that an operator holds: a deploy must not undo what somebody has decided, only `resume` does. */
export async function refuseHeld(ledger: Ledger, run: Run): Promise<void> {
  if (!isHeld(run.state)) return;
  const { name, direction, state } = run;
  const what = direction === 'up' ? name : `the rollback of ${name}`;
  throw fail('STOPPED', {
    message: `${what} was ${state} ${await holderOf(ledger, run)}`.trimEnd(),
    detail: `${state === 'paused' ? 'a pause holds until it is resumed' : 'finished work is kept, and it is parked until you decide'}; nothing of it was run`,
    hint: heldHint(run),
  });
}

/** Refuses to join a run that is not under way any more: whoever only joins begins none, and resumes none. */
export function refuseUnlessRunning(name: string, run: Run | null): void {
  if (run?.state === 'running') return;
  throw fail('STOPPED', {
    message: `${name} is not running any more: ${run === null ? 'there is nothing to join' : `it is ${run.state}`}`,
    hint: `see it: umzug-cluster status ${name}`,
  });
}

/** What may be typed about a run that an operator holds. */
export function heldHint({ name, direction, state }: Pick<Run, 'name' | 'direction' | 'state'>): string {
  const resume = `resume: umzug-cluster resume ${name}`;
  if (direction === 'down') return resume;
  const back = state === 'cancelled' ? `; roll back: umzug-cluster down --name ${name}` : '';
  return `${resume}${back}; run what comes after it: umzug-cluster up --past ${name}`;
}
