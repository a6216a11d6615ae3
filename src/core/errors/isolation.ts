import { rowsAre } from '../values/numbers.ts';

/**
 * How bad rows are isolated: a failing chunk is tried again with fewer rows, down to one, which is then quarantined;
 * and when a run is not worth continuing. At most log2(chunk size) + 3 tries fail until a row is quarantined.
 */

/** Rows of the next try of a failed chunk of `tried` rows, at least 1. */
export function rowsAfterFailure(tried: number, hasSucceeded: boolean): number {
  // Nothing has worked yet: whether anything can is found out by single rows, not by ten halvings.
  return hasSucceeded ? Math.max(1, Math.floor(tried / 2)) : 1;
}

/**
 * Rows of a range that are known to hold one that fails, by the range's number. Whoever has passed a part of them tries
 * half of the rest next, instead of growing beyond the bad row and meeting it again from every distance: of 1,000 rows
 * 11 tries instead of 21 for the last. Kept in memory: who does not know them tries more often.
 */
export class Suspects {
  readonly #rows = new Map<number, number>();

  /** A try of so many rows failed. */
  failed(range: number, rows: number): void {
    this.#rows.set(range, rows);
  }

  /** A chunk of so many rows was committed, or a row was quarantined. */
  passed(range: number, rows: number): void {
    const left = (this.#rows.get(range) ?? 0) - rows;
    if (left > 0) this.#rows.set(range, left);
    else this.#rows.delete(range);
  }

  /** Rows that the next chunk of a range should have at most; Infinity: nothing is known against it. */
  most(range: number): number {
    const left = this.#rows.get(range);
    return left === undefined ? Infinity : Math.ceil(left / 2);
  }
}

// Two deaths may be bad luck.
const deathsBorne = 2;

/**
 * What to do with a range with so many open claims, the present one included: the workers of the others
 * died. `shrink`: with so many rows. `quarantine`: it is one row that kills.
 */
export function afterDeaths(
  openClaims: number,
  rows: number,
):
  | { readonly kind: 'go' }
  | { readonly kind: 'shrink'; readonly rows: number }
  | { readonly kind: 'quarantine' } {
  if (openClaims - 1 < deathsBorne) return { kind: 'go' };
  return rows > 1 ? { kind: 'shrink', rows: Math.floor(rows / 2) } : { kind: 'quarantine' };
}

// With a first try of a whole chunk before them: at most five calls of `update` in all.
const failuresWithoutSuccess = 3;

/** How many of the latest results `isMostlyFailing` looks at (GitLab's rule for batched migrations). */
export const recentResults = 20;

export interface Failures {
  /** Rows that are quarantined, the latest included. */
  readonly quarantined: number;
  readonly maxQuarantined: number;
  readonly hasSucceeded: boolean;
  /** The latest results of this process, at most `recentResults`: true for a committed chunk. */
  readonly recent: readonly boolean[];
}

/** Why a run that has quarantined a row is to stop, or null. */
export function reasonToStop(now: Failures): string | null {
  if (!now.hasSucceeded && now.quarantined >= failuresWithoutSuccess) {
    return 'update fails everywhere';
  }
  if (now.quarantined >= now.maxQuarantined) {
    return `${rowsAre(now.quarantined, 'quarantined')}, the limit that maxQuarantined sets`;
  }
  if (isMostlyFailing(now.recent)) return `more than half of the last ${recentResults} chunks failed`;
  return null;
}

function isMostlyFailing(recent: readonly boolean[]): boolean {
  return recent.length >= recentResults && recent.filter((ok) => !ok).length * 2 > recent.length;
}
