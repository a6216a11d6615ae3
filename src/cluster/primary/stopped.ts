import { isHeld } from '../../core/config/states.ts';
import { counted } from '../../core/values/numbers.ts';
import { type ErrorCode, fail } from '../../errors.ts';
import { heldHint } from '../../run/lifecycle/held.ts';
import { unseenMs } from '../../ledger/look/hosts.ts';
import { standingOf } from '../../core/progress/standing.ts';
import type { Reason } from '../../core/throttle/signal.ts';
import type { Direction, Run, RunTotals } from '../../ledger/run/rows.ts';

/** What a command was at work on when it was stopped. */
export interface Begun {
  readonly name: string;
  readonly direction: Direction;
  /** Its file has a way back. */
  readonly hasDown: boolean;
}

/** How a run stood when this host left it. */
export interface LeftAt {
  /** Share done; null: not known. */
  readonly fraction: number | null;
  /** Committed chunks; null: not known. */
  readonly chunks: number | null;
  /** Hosts that work on it still, `host:pid` each. */
  readonly others: readonly { readonly process: string }[];
}

/** The end that the user asked for. `begun`: null where nothing is that could be resumed. */
export function stoppedByUser(
  code: ErrorCode,
  begun: Begun | null,
  { fraction, chunks, others }: LeftAt = { fraction: null, chunks: null, others: [] },
): Error {
  if (begun === null || others.length === 0) {
    return fail(code, {
      message: `stopped${where(fraction)}, no work lost`,
      hint: resumeHint(begun, chunks),
    });
  }
  const { name } = begun;
  const continues = others.length === 1 ? 'continues' : 'continue';
  return fail(code, {
    message: `this host has left ${name}${where(fraction)}, no work lost; ${counted(others.length, 'other host')} ${continues}`,
    detail: `seen within the last ${unseenMs / 1_000} s: ${others.map(({ process }) => withoutToken(process)).join(', ')}`,
    hint: `stop it on all hosts: umzug-cluster pause ${name}; watch it: umzug-cluster status ${name} --watch`,
  });
}

/** Rows after which a command was to stop, and those after which it has: fewer where its part of the keys has no more. */
export interface ReachedLimit {
  readonly asked: number;
  readonly rows: number;
}

/** The end that the user asked for with `up --limit`. */
export function stoppedAtLimit({ asked, rows }: ReachedLimit, begun: Begun | null, left?: LeftAt): Error {
  const why = rows < asked ? ', all that match in this part of the keys' : ' as asked';
  const back = begun?.hasDown === true ? `; roll back: umzug-cluster down --name ${begun.name}` : '';
  return fail('STOPPED', {
    message: `stopped after ${counted(rows, 'row')}${why}${where(left?.fraction ?? null)}`,
    hint: `continue: umzug-cluster up${back}`,
  });
}

/** `host:pid`. */
function withoutToken(process: string): string {
  return process.replace(/\/\w+$/, '');
}

function resumeHint(begun: Begun | null, chunks: number | null): string {
  if (begun === null) return 'to resume, run the same command again';
  const { name, direction, hasDown } = begun;
  const back = `umzug-cluster down --name ${name}`;
  if (direction === 'down') {
    return chunks === 0
      ? `resume: ${back}; abandon it, since nothing is rolled back yet: umzug-cluster cancel ${name}`
      : `resume: ${back}; umzug-cluster up is refused until it is done`;
  }
  return `resume: umzug-cluster up${hasDown ? `; roll back: ${back}` : ''}`;
}

/** The end of this host's work because the throttle asks for it. */
export function stoppedByThrottle(run: Run, sums: RunTotals, { text }: Reason): Error {
  const again = run.direction === 'up' ? 'umzug-cluster up' : `umzug-cluster down --name ${run.name}`;
  return fail('STOPPED', {
    message: `${run.name} was stopped by its throttle${where(standingOf(run, sums).fraction)}, no work lost`,
    detail: text,
    hint: `resume when that is over: ${again}; without any limit: ${again} --full-speed`,
  });
}

function where(fraction: number | null): string {
  return fraction === null ? '' : ` at ${Math.floor(fraction * 100)}%`;
}

/** Whether a run goes over its table in another order than when it was read before. */
export function hasOtherOrder({ plan: now }: Ordered, { plan: before }: Ordered): boolean {
  return now.auto?.state !== before.auto?.state;
}

interface Ordered {
  readonly plan: Pick<Run['plan'], 'auto'>;
}

/** Whether somebody has paused, cancelled, reverted or restarted what this host works on. */
export function isTakenAway(
  now: Pick<Run, 'state' | 'epoch'> & Ordered,
  run: Pick<Run, 'epoch'> & Ordered,
): boolean {
  // Done by another host: the lanes here find nothing more to do.
  if (now.state === 'done' || now.state === 'reverted') return false;
  return now.state !== 'running' || (now.epoch !== run.epoch && !hasOtherOrder(now, run));
}

/**
 * Why this host's `up` or `down` ends before the run is done: somebody else moved the run on. `holder`: who has paused or
 * cancelled it.
 */
export function stoppedElsewhere(
  run: Run,
  { fraction, holder }: { readonly fraction: number | null; readonly holder: string },
): Error {
  const { name } = run;
  if (run.state === 'reverted' && run.direction === 'down') {
    return fail('STOPPED', {
      message: `${name}: its rollback was cancelled before any row was rolled back`,
      detail: 'nothing was changed',
      hint: `see how it stands: umzug-cluster status ${name}`,
    });
  }
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
  if (isHeld(run.state)) {
    const kept = run.state === 'paused' ? ', no work lost' : '; finished work is kept';
    return fail('STOPPED', {
      message: `${name} was ${run.state}${where(fraction)}${kept}`,
      detail: holder === '' ? undefined : holder,
      hint: heldHint(run),
    });
  }
  return fail('STOPPED', {
    message:
      run.state === 'running' ? `${name}: another host has restarted the run` : `${name} is ${run.state}`,
    hint: `no progress is lost; resume: ${run.direction === 'up' ? 'umzug-cluster up' : `umzug-cluster down --name ${name}`}`,
  });
}
