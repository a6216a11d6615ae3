import { grouped } from '../values/numbers.ts';

/**
 * Most rows of a chunk under a pace, at least 1: what the pace allows in the time that a chunk aims at. Larger
 * chunks would come in bursts, with long silence between them in which nothing an operator asks takes effect.
 */
export function mostPacedRows(pace: number | null, targetMs: number): number {
  return pace === null ? Infinity : Math.max(1, Math.floor((pace * targetMs) / 1_000));
}

// A pace that is raised or lifted is felt this soon by those who wait.
const lookAgainMs = 500;

// Whoever was told of a turn that another lane has taken in the meantime asks again at once, but not without a breath.
const leastWaitMs = 5;

/** Milliseconds until a lane that waits for its turn asks again. */
export function nextWaitMs(leftMs: number): number {
  return Math.min(Math.max(leastWaitMs, leftMs), lookAgainMs);
}

/** What is reported about a run that a pace may hold back; null where none is set. */
export function paceReason(pace: number | null): string | null {
  return pace === null ? null : `pace: at most ${grouped(pace)} rows/s over all hosts`;
}

/** Whether a reason is that of a pace. */
export function isPace(reason: string): boolean {
  return reason.startsWith('pace:');
}
