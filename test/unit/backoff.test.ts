import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs } from '../../src/core/values/backoff.ts';

describe('backoff', () => {
  it('has a ceiling that doubles with each attempt, up to the cap', () => {
    const limits = { baseMs: 100, capMs: 1_000 };
    expect([1, 2, 3, 4, 5, 99].map((attempt) => backoffMs(attempt, () => 1, limits))).toEqual([
      100, 200, 400, 800, 1_000, 1_000,
    ]);
    expect(backoffMs(5, () => 0, limits)).toBe(0);
  });

  it('is anything from none to the present ceiling', () => {
    const random = fc.double({ min: 0, max: 0.999, noNaN: true });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000 }), random, (attempt, value) => {
        const waitMs = backoffMs(attempt, () => value, { baseMs: 50, capMs: 2_000 });
        expect(waitMs).toBeGreaterThanOrEqual(0);
        expect(waitMs).toBeLessThan(Math.min(2_000, 50 * 2 ** (attempt - 1)));
      }),
    );
  });
});
