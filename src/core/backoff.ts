export interface BackoffLimits {
  readonly baseMs: number;
  readonly capMs: number;
}

/**
 * Milliseconds to wait before try number `attempt` (1 for the first failure): exponential with full
 * jitter, so that workers that failed together do not return together. `random` is in [0, 1).
 */
export function backoffMs(attempt: number, random: () => number, { baseMs, capMs }: BackoffLimits): number {
  const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(Math.max(attempt, 1) - 1, 30));
  return ceiling / 2 + (random() * ceiling) / 2;
}
