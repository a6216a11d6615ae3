import { usualLanes } from './lanes.ts';

export interface ForkSituation {
  readonly elapsedMs: number;
  /** All that there is to go by is the first chunk. */
  readonly isFirstChunk: boolean;
  /** What is left as a multiple of what is done; null: not known. */
  readonly leftInDone: number | null;
  readonly openRanges: number;
  /** Wanted processes, the primary included. */
  readonly workers: number;
  /** Somebody has asked for so many; else they are the most that there may be. */
  readonly isAsked: boolean;
  /** Chunks in flight that each process may have; null: not given. */
  readonly lanes: number | null;
  /** Share of its time in which the primary's event loop was busy, 0 to 1. */
  readonly loopBusy: number;
  /** Processes forked already. */
  readonly forked: number;
}

// Fork, load and connect took 200 to 300 ms; less than several times that is not worth it.
const forkCostMs = 300;
const worthInForks = 5;

// What it runs is compiled in it: later ones take a third to two thirds of its time a row.
const firstChunkFactor = 3;

// Without an estimate, a run that still has work after this long probably has seconds left.
const unknownMs = 1_000;

// Rows that are only passed on keep the loop busy for 0.3 to 0.8 of the time on two cores that the server shares,
// 100 µs of JavaScript a row for all of it.
const busyLoop = 0.9;

/**
 * Whether one more worker pays: only while the time left is several times the cost of a fork. Unless somebody has asked
 * for a number of them, also only where JavaScript is what waits, or fewer chunks than cores are in flight: where
 * the database does the work, lanes in one process carry as much as a second process, which took 0.6 s of CPU time to
 * start and to compile the same code again (1,000,000 rows, set-based: 1.2 instead of 1.8 s of the client's).
 */
export function shouldFork(now: ForkSituation): boolean {
  if (now.openRanges === 0 || now.forked >= now.workers - 1) return false;
  const inFlight = (now.forked + 1) * (now.lanes ?? usualLanes);
  if (!now.isAsked && now.loopBusy < busyLoop && inFlight >= now.workers) return false;
  if (now.leftInDone === null) return now.elapsedMs >= unknownMs;
  const leftMs = now.leftInDone * now.elapsedMs;
  return leftMs >= forkCostMs * worthInForks * (now.isFirstChunk ? firstChunkFactor : 1);
}
