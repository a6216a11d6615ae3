const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const part = /(\d+(?:\.\d+)?)(ms|s|m|h|d)/g;
const whole = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/;

/** What a message about a bad duration shows. */
export const durationExamples = '250ms, 90s, 10m, 1h30m';

/**
 * Milliseconds of "10m", "90s", "1h30m" or "250ms"; `0` needs no unit. Null: not a duration. A bare number is
 * refused: whoever writes `--grace 20` may mean seconds.
 */
export function parseDuration(text: string): number | null {
  const compact = text
    .trim()
    .toLowerCase()
    .replace(/(?<=[a-z])\s+(?=\d)|(?<=\d)\s+(?=[a-z])/g, '');
  if (compact === '0') return 0;
  if (!whole.test(compact)) return null;
  let total = 0;
  for (const [, amount, unit] of compact.matchAll(part))
    total += Number(amount) * (unitMs[unit ?? ''] ?? NaN);
  return Number.isFinite(total) ? Math.round(total) : null;
}

/** A duration for people: "0.6 s", "42 s", "3m 20s", "2h 05m", "7d 00h". */
export function formatDuration(ms: number): string {
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${pad(seconds % 60)}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}h ${pad(minutes % 60)}m`;
  return `${Math.floor(hours / 24)}d ${pad(hours % 24)}h`;
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}

/** `2026-11-30 06:33:37`: a moment to the second, in UTC. Takes what `to_json` makes of a timestamptz, in any time zone. */
export function formatTime(at: string): string {
  return new Date(at).toISOString().slice(0, 19).replace('T', ' ');
}
