import { type ErrorCode, exitCodes, isStop } from '../../errors.ts';

// A signal stops all of them. Then what a person must look at comes before what the next try may solve.
const precedence: readonly number[] = [130, 143, 129, 70, 1, 2, 3, 4, 5];

/** The code that the command ends with where its targets ended with these; null: with none. */
export function leadingCode(codes: readonly ErrorCode[]): ErrorCode | null {
  const rank = (code: ErrorCode): number => precedence.indexOf(exitCodes[code]);
  return codes.toSorted((one, other) => rank(one) - rank(other))[0] ?? null;
}

/** How a target has ended. `stopped`: it was asked to, and can be resumed. `skipped`: nothing was done in it. */
export type TargetState = 'done' | 'stopped' | 'failed' | 'skipped';

/** The state of a target that ended with this code; null: with none. */
export function stateAfter(code: ErrorCode | null): TargetState {
  if (code === null) return 'done';
  return isStop(code) ? 'stopped' : 'failed';
}
