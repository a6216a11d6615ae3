/** What a run tells while it goes on: one reading, made by the primary, shown by `commands/`. */
export interface Progress {
  readonly migration: string;
  readonly direction: 'up' | 'down';
  /** Committed rows of this run, all hosts; never more than the truth. */
  readonly rowsDone: number;
  /** The planner's row count, raised to `rowsDone` where that is more; null: not known. */
  readonly rowsEstimated: number | null;
  /** Share done, 0 to 1, by the keys that are passed, whether their rows match or not; null: not known yet. */
  readonly fraction: number | null;
  /** Smoothed; null until it can be known. */
  readonly rowsPerSecond: number | null;
  readonly etaSeconds: number | null;
  readonly chunks: number;
  /** Rows of the latest chunk. */
  readonly chunkSize: number;
  /** Working processes of this host. */
  readonly workers: number;
  /** What the run waits for ("transaction of pid 99, 8 s old"), or null. */
  readonly waiting: string | null;
  readonly elapsedMs: number;
}
