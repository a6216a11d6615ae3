import type { SetBasedUpdate } from './contract.ts';

// A registered symbol, because a migration file may load a second copy of the package.
const mark = Symbol.for('umzug-cluster.setBased');

/** An `update` that never ships rows to Node; made by `setBased`, recognised by its mark. */
// oxlint-disable-next-line typescript/no-explicit-any
export type MarkedUpdate = (...args: any[]) => unknown;

/**
 * Makes a set-based `update`: `update` gets the author's own query restricted to the rows of the chunk, with its
 * columns and joins, and the chunk's database handle. It is ready for `.update({ … })` and `.delete()` of base rows, or
 * to be a part of another statement. Also for `down.update`.
 */
// oxlint-disable-next-line typescript/no-explicit-any
export function setBased<Values = any>(update: SetBasedUpdate<Values>): MarkedUpdate {
  const marked = (...args: Parameters<SetBasedUpdate<Values>>): unknown => update(...args);
  Object.defineProperty(marked, mark, { value: true });
  return marked as MarkedUpdate;
}

/** Whether a function was made by `setBased`, in any copy of the package. */
export function isSetBased(update: object): boolean {
  return (update as { [mark]?: boolean })[mark] === true;
}
