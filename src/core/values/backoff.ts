/** How long is waited before what has failed is tried again, unless the server needs more time. */
const quickly: BackoffLimits = { baseMs: 50, capMs: 2_000 };
/** After a shortage of the server. */
export const slowly: BackoffLimits = { baseMs: 500, capMs: 2_000 };

export interface BackoffLimits {
  readonly baseMs: number;
  readonly capMs: number;
}

/**
 * Milliseconds to wait after failure number `attempt` (from 1): full jitter, anything from none to a ceiling
 * that doubles from `baseMs` up to `capMs`, so that workers that failed together do not return together.
 * `random` is in [0, 1).
 */
export function backoffMs(attempt: number, random: () => number, { baseMs, capMs } = quickly): number {
  const ceilingMs = Math.min(capMs, baseMs * 2 ** Math.min(Math.max(attempt, 1) - 1, 30));
  return random() * ceilingMs;
}
