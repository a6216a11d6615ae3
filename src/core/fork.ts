export interface ForkSituation {
  readonly elapsedMs: number;
  readonly rowsDone: number;
  /** Done and left, by the estimate; null: not known. */
  readonly rowsEstimated: number | null;
  readonly openRanges: number;
  /** Wanted processes, the primary included. */
  readonly workers: number;
  /** Processes forked already. */
  readonly forked: number;
}

// Fork, load and connect took 200 to 300 ms; less than several times that is not worth it.
const forkCostMs = 300;
const worthInForks = 5;

// Without an estimate, a run that still has work after this long probably has seconds left.
const unknownMs = 1_000;

/** Whether one more worker pays: only while the time left is several times the cost of a fork. */
export function shouldFork(now: ForkSituation): boolean {
  if (now.openRanges === 0 || now.forked >= now.workers - 1) return false;
  if (now.rowsEstimated === null) return now.elapsedMs >= unknownMs;
  if (now.rowsDone === 0) return now.elapsedMs >= unknownMs;
  const leftMs = ((now.rowsEstimated - now.rowsDone) * now.elapsedMs) / now.rowsDone;
  return leftMs >= forkCostMs * worthInForks;
}
