/** The progress of a run: one reading, made by the primary, shown by `commands/`. */
export interface Progress {
  readonly migration: string;
  readonly direction: 'up' | 'down';
  /** Committed rows of this run, all hosts; never more than the truth. */
  readonly rowsDone: number;
  /** The planner's row count, raised to `rowsDone` where that is more; null: not known. */
  readonly rowsEstimated: number | null;
  /** Share done, 0 to 1, by the keys that are passed, whether their rows match or not; null: not known yet. */
  readonly fraction: number | null;
  /** Of all hosts, smoothed over running time; null until it can be known. */
  readonly rowsPerSecond: number | null;
  /** From running time only; null until it can be known. */
  readonly etaSeconds: number | null;
  readonly chunks: number;
  /** Rows of this host's latest chunk. */
  readonly chunkSize: number;
  /** Time of this host's latest chunk; null before there is one. */
  readonly chunkMs: number | null;
  /** Working processes of this host. */
  readonly workers: number;
  /** Working processes of the other hosts, and how many hosts those are. */
  readonly otherWorkers: number;
  readonly otherHosts: number;
  /** What the run waits for ("transaction of pid 99, 8 s old"), or null. */
  readonly waiting: string | null;
  /** What holds new chunks back ("pace: at most 2,000 rows/s over all hosts"), or null. */
  readonly throttled: string | null;
  /** The same without the numbers that change with every look: of what one may tell once. */
  readonly throttledBy: string | null;
  /** Chunks that were tried again for what passes. */
  readonly retries: number;
  /** Rows that are quarantined. */
  readonly quarantined: number;
  readonly elapsedMs: number;
}

/** What fails for what passes, and is tried again. */
export interface Trouble {
  /** What is done about it, where, and why: `reconnecting to host:5432/name (connect ECONNREFUSED)`. */
  readonly what: string;
  /** By `performance.now()`. */
  readonly givesUpAt: number;
}

/** `reconnecting to …, gives up in 95 s` */
export function describeTrouble({ what, givesUpAt }: Trouble, now: number): string {
  return `${what}, gives up in ${Math.max(0, Math.ceil((givesUpAt - now) / 1_000))} s`;
}
