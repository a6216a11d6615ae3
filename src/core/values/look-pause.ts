// Whoever starts a run a moment after the last one is helped at once, and after an idle night within 5 s.
const leastMs = 500;
const mostMs = 5_000;

/**
 * Milliseconds until a host that has found nothing to do for `idleMs` looks again: about a tenth of what it has waited
 * already. Many such hosts do not look in step. `random` is in [0, 1).
 */
export function lookPauseMs(idleMs: number, random: () => number): number {
  const pauseMs = Math.min(mostMs, Math.max(leastMs, idleMs / 10));
  return pauseMs * (0.75 + random() / 2);
}
