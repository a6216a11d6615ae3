import { mostLanes } from '../size/lanes.ts';

/** What is divided among the targets that are worked on at a time: processes, and chunks in flight in each. */
export interface Share {
  readonly workers: number;
  /** Null: as many as pay. */
  readonly lanes: number | null;
}

/** One target's part, so that processes and connections are no more for many targets than for one. */
export function shareOf({ workers, lanes }: Share, atOnce: number): Share {
  if (atOnce <= 1) return { workers, lanes };
  const part = (whole: number): number => Math.max(1, Math.floor(whole / atOnce));
  return { workers: part(workers), lanes: part(lanes ?? mostLanes) };
}
