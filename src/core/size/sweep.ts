/**
 * When a run that sweeps is done: its select drains, so all of it is gone through once more, until nothing is left
 * that matches. Whoever inserts rows faster than they are found must not keep the run alive forever.
 */

/** Whether a run goes over its table once more, after its main pass. */
export function isSweep({
  pass,
  plan: { sweeps, mainPass = 0 },
}: {
  readonly pass: number;
  readonly plan: { readonly sweeps?: boolean; readonly mainPass?: number };
}): boolean {
  return sweeps === true && pass > mainPass;
}

// Below this many, a sweep that finds as much as the one before may be a matter of chance.
const sweepsBorne = 3;

/** So many sweeps are made at most. */
export const mostSweeps = 10;

/**
 * What comes next, by the rows that each pass has found so far: the run's own and then its sweeps. `done`: a sweep
 * has found nothing, and nothing is left beside it. `endless`: the sweeps do not become fewer rows, so more of them are
 * no use.
 */
export function afterPasses(rows: readonly number[], isAnyLeft = false): 'sweep' | 'done' | 'endless' {
  const [last = 0, before = Infinity] = rows.slice(1).reverse();
  const sweeps = rows.length - 1;
  if (sweeps <= 0) return 'sweep';
  if (last === 0 && !isAnyLeft) return 'done';
  if (sweeps >= mostSweeps) return 'endless';
  return sweeps >= sweepsBorne && last * 2 > before ? 'endless' : 'sweep';
}
