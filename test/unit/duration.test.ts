import { describe, expect, it } from 'vitest';
import { formatDuration, parseDuration } from '../../src/core/config/duration.ts';

describe('parseDuration', () => {
  it.each([
    ['10m', 600_000],
    ['90s', 90_000],
    ['1h30m', 5_400_000],
    ['1h 30m', 5_400_000],
    ['250ms', 250],
    ['1.5s', 1_500],
    ['2d', 172_800_000],
    ['5 s', 5_000],
    ['0', 0],
    ['0s', 0],
  ])('reads %s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['', '20', '-5s', '5 bananas', 's', '1h30', '10m!', 'NaN', '1e3s', '--', '1,5s', '1 2s'])(
    'refuses "%s"',
    (text) => {
      expect(parseDuration(text)).toBeNull();
    },
  );
});

describe('formatDuration', () => {
  it.each([
    [0, '0.0 s'],
    [602, '0.6 s'],
    [42_000, '42 s'],
    [200_000, '3m 20s'],
    [7_500_000, '2h 05m'],
  ])('shows %d ms as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});
