import { expect, it } from 'vitest';
import { DeathTally } from '../../src/core/progress/death-tally.ts';

it('gives a run up after 16 deaths without progress', () => {
  const deaths = new DeathTally();
  for (let death = 1; death <= 16; death += 1) {
    expect(deaths.isHopeless).toBe(false);
    expect(deaths.mayFork(death), 'each is replaced at once').toBe(true);
    deaths.died(death);
  }
  expect(deaths.isHopeless).toBe(true);
  expect(deaths.inVain).toBe(16);
});

it.each(['worker', 'anybody'] as const)(
  'never gives up one in which, between its deaths, %s makes progress',
  (by) => {
    const deaths = new DeathTally();
    for (let death = 1; death <= 200; death += 1) {
      for (let each = 0; each < 15; each += 1) deaths.died(0);
      expect(deaths.isHopeless).toBe(false);
      deaths.progressed(by);
    }
  },
);

it('replaces workers that die without a chunk more and more rarely, and at once when one has done something', () => {
  const deaths = new DeathTally();
  const pauses = Array.from({ length: 10 }, () => {
    deaths.died(0);
    deaths.progressed('anybody');
    return [10, 100, 1_000, 4_999, 5_000].find((ms) => deaths.mayFork(ms));
  });
  expect(pauses).toEqual([10, 100, 1_000, 1_000, 1_000, 4_999, 4_999, 5_000, 5_000, 5_000]);
  deaths.progressed('worker');
  deaths.died(10_000);
  expect(deaths.mayFork(10_000)).toBe(true);
});
