import { type ErrorCode, fail } from '../errors.ts';
import type { Run } from '../ledger/rows.ts';

/** The end that the user asked for. `fraction`: how much of the run is done, where that is known. */
export function stoppedByUser(code: ErrorCode, fraction: number | null): Error {
  const where = fraction === null ? '' : ` at ${Math.floor(fraction * 100)} %`;
  return fail(code, {
    message: `stopped${where}, nothing lost`,
    hint: 'run `up` again to go on, or `down` to go back',
  });
}

/** Why this host's `up` or `down` ends before the run is done: somebody else moved the run on. */
export function stoppedElsewhere(name: string, run: Run): Error {
  if (run.state === 'reverting') {
    return fail('REVERTING', {
      message: `${name}: another host began to roll it back`,
      detail: 'no chunk of this host was committed after that',
      hint: `let it finish, or finish it with: umzug-cluster down --name ${name}`,
    });
  }
  if (run.state === 'reverted') {
    return fail('REVERTING', {
      message: `${name}: another host has rolled it back`,
      detail: 'no chunk of this host was committed after that',
      hint: 'run it again with: umzug-cluster up',
    });
  }
  if (run.state === 'failed') {
    return fail('MIGRATION_FAILED', {
      message: `${name} failed on another host`,
      detail: run.error ?? undefined,
    });
  }
  return fail('STOPPED', {
    message:
      run.state === 'running' ? `${name}: another host has taken it up anew` : `${name} is ${run.state}`,
    hint: 'progress is safe; run `up` again to go on',
  });
}
