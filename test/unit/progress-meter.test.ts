import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ProgressMeter } from '../../src/cluster/progress-meter.ts';
import type { Progress } from '../../src/core/progress.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const run = { name: 'a', direction: 'up', estimatedRows: 1_000 } as ConstructorParameters<
  typeof ProgressMeter
>[0];

it('says that it waits for the database where an answer takes long, and stops saying so', async () => {
  const shown: (string | null)[] = [];
  const meter = new ProgressMeter(run, ({ waiting }: Progress) => shown.push(waiting));
  let answer: (value: number) => void = () => undefined;
  const asked = meter.during(new Promise<number>((resolve) => (answer = resolve)));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(shown).toEqual([]);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(shown).toEqual(['an answer of the database']);
  answer(7);
  expect(await asked).toBe(7);
  expect(shown.at(-1)).toBeNull();
});
