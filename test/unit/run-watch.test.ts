import { describe, expect, it } from 'vitest';
import { type Alarm, RunWatch } from '../../src/core/progress/run-watch.ts';

const minute = 60_000;
const lag = 'replica "two" has 3 GB of WAL to replay';

/** The alarms of looks every five seconds, each with the minute at which it came. */
function alarms(
  watch: RunWatch,
  minutes: number,
  at: (minute: number) => { readonly held?: string | null; readonly etaSeconds?: number | null },
): readonly (readonly [number, Alarm])[] {
  return Array.from({ length: minutes * 12 + 1 }, (_, index) => index * 5_000).flatMap((elapsedMs) => {
    const look = { held: null, etaSeconds: null, ...at(elapsedMs / minute) };
    return watch.see({ elapsedMs, ...look }).map((alarm) => [elapsedMs / minute, alarm] as const);
  });
}

describe('a run that replicas hold back', () => {
  it('is told of once, when that has lasted', () => {
    const seen = alarms(new RunWatch(10 * minute), 60, () => ({ held: lag }));
    expect(seen).toEqual([[10, { event: 'throttled', reason: lag, forSeconds: 600 }]]);
  });

  it('is not told of where it is not held back for so long', () => {
    const seen = alarms(new RunWatch(10 * minute), 60, (now) => ({ held: now % 12 < 9 ? lag : null }));
    expect(seen).toEqual([]);
  });

  it('is held back all the time where it catches up for moments only', () => {
    const seen = alarms(new RunWatch(10 * minute), 60, (now) => ({
      held: (now * 12) % 4 === 0 ? lag : null,
    }));
    expect(seen.map(([at]) => at)).toEqual([10]);
  });

  it('is told of again where it was free in between', () => {
    const seen = alarms(new RunWatch(10 * minute), 60, (now) => ({
      held: now < 20 || now > 40 ? lag : null,
    }));
    expect(seen.map(([at]) => Math.round(at))).toEqual([10, 50]);
  });
});

describe('a run that is slower than first estimated', () => {
  it('is told of when it takes more than twice as long, for a minute, and once', () => {
    // 60 minutes are left after the first; from the tenth on it needs three times as long.
    const left = (now: number): number => (now < 10 ? 61 - now : (61 - now) * 3) * 60;
    const seen = alarms(new RunWatch(minute), 50, (now) => ({ etaSeconds: left(now) }));
    expect(seen).toEqual([[11, { event: 'slower', estimatedSeconds: 3_600, nowSeconds: 9_600 }]]);
  });

  it('is told of where nobody knows how long it takes, but it has taken twice as long', () => {
    const seen = alarms(new RunWatch(minute), 50, (now) => ({ etaSeconds: now < 2 ? 600 : null }));
    expect(seen.map(([at, { event }]) => [Math.round(at), event])).toEqual([[22, 'slower']]);
  });

  it('is not told of for a first estimate that is too high, a swing, or a run of less than a minute', () => {
    expect(alarms(new RunWatch(minute), 60, (now) => ({ etaSeconds: Math.max(0, 40 - now) * 60 }))).toEqual(
      [],
    );
    const swings = (now: number): number => (now % 5 < 0.5 ? 5 : 1) * (60 - now) * 60;
    expect(alarms(new RunWatch(minute), 20, (now) => ({ etaSeconds: swings(now + 1) }))).toEqual([]);
    expect(alarms(new RunWatch(minute), 0.9, (now) => ({ etaSeconds: now * 1_000 }))).toEqual([]);
  });
});
