import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ProgressMeter } from '../../src/cluster/primary/progress-meter.ts';
import type { Progress } from '../../src/core/progress/progress.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const survey = { rows: 60_000, keys: [['1']], found: [6_000], each: 1, isShuffled: false };
const run = {
  name: 'a',
  direction: 'up',
  estimatedRows: 6_000,
  pass: 0,
  plan: { survey },
} as unknown as ConstructorParameters<typeof ProgressMeter>[0];

const uncounted = { busyMs: 0, lastError: null, retries: 0, quarantined: 0, workers: [] };

it('says that it waits for the database where an answer takes long, and stops saying so', async () => {
  const shown: (string | null)[] = [];
  const meter = new ProgressMeter(run, ({ waiting }: Progress) => shown.push(waiting));
  let answer: (value: number) => void = () => undefined;
  const asked = meter.during(new Promise<number>((resolve) => (answer = resolve)));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(shown).toEqual([]);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(shown).toEqual(['the database to answer']);
  answer(7);
  expect(await asked).toBe(7);
  expect(shown.at(-1)).toBeNull();
});

it('tells each second for how long it tries again, with neither rate nor time left meanwhile', async () => {
  const shown: Progress[] = [];
  const meter = new ProgressMeter(run, (progress: Progress) => shown.push(progress));
  const what = 'reconnecting to h:5432/d (connect ECONNREFUSED 10.0.0.1:5432)';
  meter.trouble({ what, givesUpAt: performance.now() + 120_000 });
  await vi.advanceTimersByTimeAsync(2_500);
  expect(shown.map(({ waiting }) => waiting)).toEqual(
    [120, 119, 118].map((seconds) => `${what}, gives up in ${seconds} s`),
  );
  expect(shown.at(-1)).toMatchObject({ rowsPerSecond: null, etaSeconds: null, elapsedMs: 2_000 });
  meter.trouble(null);
  expect(shown.at(-1)?.waiting).toBeNull();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(shown).toHaveLength(4);
});

/** Reads a run in which each row that matches is one of ten of the table, a second after the last reading. */
function readerOf(meter: ProgressMeter): (rows: number, pace: number | null) => void {
  return (rows, pace) => {
    const sums = {
      rows,
      passed: rows * 10,
      chunks: 1,
      rangesDone: 0,
      rangesOpen: 1,
      rangesParked: 0,
      estimatedLeft: 60_000 - rows * 10,
      open: [[rows * 10, 60_000 - rows * 10]] as [number, number][],
    };
    meter.update({ sums: { ...sums, ...uncounted }, workers: 1, lanes: 1, pace, held: null, others: [] });
    vi.advanceTimersByTime(1_000);
  };
}

it('reckons with a pace from the moment at which it is set, not only when it has become slower', () => {
  let shown: Progress | null = null;
  const read = readerOf(new ProgressMeter(run, (progress) => (shown = progress)));
  for (const rows of [0, 1_000, 2_000, 3_000]) read(rows, null);
  expect(shown).toMatchObject({ rowsPerSecond: 1_000, etaSeconds: 3 });
  read(4_000, 100);
  expect(shown).toMatchObject({ rowsPerSecond: 1_000, etaSeconds: 20 });
});

it('knows no time left while no chunk is done, however long that takes', () => {
  let shown: Progress | null = null;
  const read = readerOf(new ProgressMeter(run, (progress) => (shown = progress)));
  for (const rows of [0, 1_000, 2_000, 3_000]) read(rows, null);
  for (let second = 0; second < 60; second += 1) read(3_000, null);
  expect(shown).toMatchObject({ etaSeconds: null });
  read(4_000, null);
  expect(shown).toMatchObject({ etaSeconds: expect.any(Number) as number });
});
