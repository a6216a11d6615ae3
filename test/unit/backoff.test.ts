import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs } from '../../src/core/backoff.ts';

describe('backoff', () => {
  it('doubles with each attempt, up to the cap', () => {
    const limits = { baseMs: 100, capMs: 1_000 };
    expect([1, 2, 3, 4, 5, 99].map((attempt) => backoffMs(attempt, () => 0, limits))).toEqual([
      50, 100, 200, 400, 500, 500,
    ]);
  });

  it('stays within half and all of the present ceiling', () => {
    const random = fc.double({ min: 0, max: 0.999, noNaN: true });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000 }), random, (attempt, value) => {
        const waitMs = backoffMs(attempt, () => value, { baseMs: 50, capMs: 2_000 });
        expect(waitMs).toBeGreaterThanOrEqual(25);
        expect(waitMs).toBeLessThanOrEqual(2_000);
      }),
    );
  });
});
