import { type ErrorCode, fail } from '../../errors.ts';
import type { Direction, Run } from '../../ledger/run/rows.ts';

/** What a command was at work on when it was stopped. */
export interface Begun {
  readonly name: string;
  readonly direction: Direction;
  /** Its file has a way back. */
  readonly hasDown: boolean;
}

/**
 * The end that the user asked for. `fraction`: how much of the run is done, where that is known. `begun`: null where
 * nothing is that could be gone on with.
 */
export function stoppedByUser(code: ErrorCode, fraction: number | null, begun: Begun | null): Error {
  return fail(code, { message: `stopped${where(fraction)}, no work lost`, hint: goOn(begun) });
}

function goOn(begun: Begun | null): string {
  if (begun === null) return 'to resume, run the same command again';
  const { name, direction, hasDown } = begun;
  const back = `umzug-cluster down --name ${name}`;
  if (direction === 'down') return `resume: ${back}; umzug-cluster up is refused until it is done`;
  return `resume: umzug-cluster up${hasDown ? `; roll back: ${back}` : ''}`;
}

function where(fraction: number | null): string {
  return fraction === null ? '' : ` at ${Math.floor(fraction * 100)}%`;
}

/** Whether somebody has paused, cancelled, reverted or restarted what this host works on. */
export function isTakenAway(now: Pick<Run, 'state' | 'epoch'>, run: Pick<Run, 'epoch'>): boolean {
  // Done by another host: the lanes here find nothing more to do.
  if (now.state === 'done' || now.state === 'reverted') return false;
  return now.state !== 'running' || now.epoch !== run.epoch;
}

/** Why this host's `up` or `down` ends before the run is done: somebody else moved the run on. */
export function stoppedElsewhere(name: string, run: Run, fraction: number | null): Error {
  if (run.state === 'reverting') {
    return fail('REVERTING', {
      message: `${name}: another host has started to roll it back`,
      detail: 'no chunk of this host was committed after that',
      hint: `let it finish, or finish it: umzug-cluster down --name ${name}`,
    });
  }
  if (run.state === 'reverted') {
    return fail('REVERTING', {
      message: `${name}: another host has rolled it back`,
      detail: 'no chunk of this host was committed after that',
      hint: 'run it again: umzug-cluster up',
    });
  }
  if (run.state === 'failed') {
    return fail('MIGRATION_FAILED', {
      message: `${name}: failed on another host`,
      detail: run.error ?? undefined,
    });
  }
  const again = `umzug-cluster resume ${name}`;
  if (run.state === 'paused') {
    const command = run.direction === 'up' ? 'umzug-cluster up' : `umzug-cluster down --name ${name}`;
    return fail('STOPPED', {
      message: `${name} was paused${where(fraction)}, no work lost`,
      hint: `resume: ${again} (or ${command})`,
    });
  }
  if (run.state === 'cancelled') {
    return fail('STOPPED', {
      message: `${name} was cancelled${where(fraction)}; finished work is kept`,
      hint: `roll back: umzug-cluster down --name ${name}; resume: ${again}`,
    });
  }
  return fail('STOPPED', {
    message:
      run.state === 'running' ? `${name}: another host has restarted the run` : `${name} is ${run.state}`,
    hint: `no progress is lost; resume: ${run.direction === 'up' ? 'umzug-cluster up' : `umzug-cluster down --name ${name}`}`,
  });
}
