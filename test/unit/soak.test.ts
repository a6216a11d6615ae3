import { expect, it } from 'vitest';
import { growthOf } from '../../bench/soak.ts';

const metric = { name: 'memory', unit: 'MB', mostTimes: 1.1, mostMore: 5 };
const steps = Array.from({ length: 40 }, (_, step) => step);
const noise = (step: number): number => (step * 7) % 5;

it('finds what grows a little with each turn', () => {
  const { early, late, hasGrown } = growthOf(
    metric,
    steps.map((step) => 100 + step + noise(step)),
  );
  expect([early, late]).toEqual([117, 137]);
  expect(hasGrown).toBe(true);
});

it('takes neither a warm-up nor noise for growth', () => {
  const warm = steps.map((step) => (step < 8 ? 50 + step * 6 : 100 + noise(step)));
  expect(growthOf(metric, warm).hasGrown).toBe(false);
  expect(
    growthOf(
      { ...metric, mostTimes: 1, mostMore: 0 },
      steps.map(() => 3),
    ).hasGrown,
  ).toBe(false);
});
