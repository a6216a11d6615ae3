import { expect, it } from 'vitest';
import { lookPauseMs } from '../../src/core/values/look-pause.ts';

it('looks twice a second at first, and the more rarely the longer nothing comes, up to every 5 s', () => {
  const pauses = [0, 1_000, 20_000, 60_000, 86_400_000].map((idleMs) => lookPauseMs(idleMs, () => 0.5));
  expect(pauses).toEqual([500, 500, 2_000, 5_000, 5_000]);
});

it('does not have many hosts look in step', () => {
  expect([lookPauseMs(60_000, () => 0), lookPauseMs(60_000, () => 0.999)].map(Math.round)).toEqual([
    3_750, 6_248,
  ]);
});
