import type { Progress } from '../../src/core/progress/progress.ts';

/** A migration in the middle of its run, as `docs/operating.md` shows it. */
export const running: Progress = {
  migration: '2025.05.18T22.04.04.dated-to-date-given',
  direction: 'up',
  rowsDone: 31_000,
  rowsEstimated: 62_000,
  fraction: 0.5,
  rowsPerSecond: 18_500,
  etaSeconds: 100,
  chunks: 31,
  chunkSize: 1_000,
  chunkMs: 420,
  workers: 8,
  otherWorkers: 4,
  otherHosts: 2,
  waiting: null,
  throttled: null,
  throttledBy: null,
  retries: 3,
  quarantined: 0,
  elapsedMs: 1_700,
};
