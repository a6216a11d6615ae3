import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  leastRowsAtEnd,
  halveKeys,
  nextLimits,
  nextSetLimits,
  limitsAtEnd,
  searchLimitMs,
  type LimitsMeasure,
  worthStealing,
} from '../../src/core/size/chunk-limits.ts';

const measured: LimitsMeasure = {
  limits: { rows: 1_000, keys: null },
  rows: 1_000,
  isFull: true,
  hasMore: true,
  readMs: 5,
  durationMs: 50,
  targetMs: 500,
  maxRows: 10_000,
  bytes: 0,
  maxBytes: 16_777_216,
};
const nothing = { rows: 0, isFull: false };

describe('how far a chunk goes', () => {
  it('has no bound of keys while its rows are found quickly', () => {
    expect(nextLimits(measured)).toEqual({ rows: 2_000, keys: null });
  });

  it('is bounded by keys once a search takes the time of a chunk', () => {
    const slow = { ...measured, ...nothing, readMs: 600, durationMs: 610 };
    expect(nextLimits(slow)).toEqual({ rows: 1_000, keys: 10_000 });
    const scanForEach = { ...measured, readMs: 200, durationMs: 300 };
    expect(nextLimits(scanForEach).keys, 'a full chunk that was a search for the most part').toBe(10_000);
  });

  it('goes over more keys while nothing matches, up to the target time', () => {
    const bounded = { ...measured, ...nothing, limits: { rows: 1_000, keys: 10_000 } };
    expect(nextLimits({ ...bounded, readMs: 10, durationMs: 12 }).keys).toBe(40_000);
    expect(nextLimits({ ...bounded, readMs: 250, durationMs: 250 }).keys).toBe(20_000);
    expect(nextLimits({ ...bounded, readMs: 1_000, durationMs: 1_000 }).keys).toBe(5_000);
  });

  it('keeps the number of rows while none is found, however long the search takes', () => {
    const bounded = { ...measured, ...nothing, limits: { rows: 1_000, keys: 10_000 } };
    expect(nextLimits({ ...bounded, readMs: 4_000, durationMs: 4_001 }).rows).toBe(1_000);
  });

  it('takes the time of a few rows for what their update took, not for the search', () => {
    const few = { ...measured, rows: 3, isFull: false, readMs: 450, durationMs: 451 };
    expect(nextLimits({ ...few, limits: { rows: 1_000, keys: 50_000 } }).rows).toBe(1_000);
  });

  it('comes back to a few keys for each row where rows are dense again', () => {
    const dense = { ...measured, limits: { rows: 1_000, keys: 1_000_000 } };
    expect(nextLimits(dense).keys).toBe(500_000);
    expect(nextLimits({ ...dense, limits: { rows: 1_000, keys: 5_000 } }).keys).toBe(4_000);
  });

  it('does not learn from the end of a range that more keys would be quick', () => {
    const end = { ...measured, ...nothing, hasMore: false, readMs: 1, durationMs: 1 };
    expect(nextLimits({ ...end, limits: { rows: 1_000, keys: 10_000 } }).keys).toBe(10_000);
  });

  it('lets a set-based chunk have twice the rows of one that reads them, five times where hardly any match, and no more', () => {
    const limits = { rows: 10_000, keys: 10_000 };
    const quick = { ...measured, limits, durationMs: 10, maxRows: 20_000 };
    expect(nextSetLimits({ ...quick, rows: 0 })).toEqual({ rows: 20_000, keys: 20_000 });
    expect(nextSetLimits({ ...quick, rows: 0, limits: { rows: 10_000, keys: 90_000 } }).keys).toBe(100_000);
    expect(nextSetLimits({ ...quick, rows: 10_000 })).toEqual({ rows: 20_000, keys: 20_000 });
    expect(nextSetLimits({ ...quick, rows: 30_000, limits: { rows: 10_000, keys: 30_000 } }).keys).toBe(
      40_000,
    );
    expect(nextSetLimits({ ...quick, rows: 6_000, limits: { rows: 10_000, keys: 50_000 } }).keys).toBe(
      40_000,
    );
  });

  it('takes half of what is left where no other range waits, so that the others can steal the rest', () => {
    const limits = { rows: 10_000, keys: null, isRough: true };
    expect(limitsAtEnd(limits, null)).toEqual(limits);
    expect(limitsAtEnd(limits, 60_000)).toEqual(limits);
    expect(limitsAtEnd(limits, 12_000)).toEqual({ ...limits, rows: 6_000 });
    expect(limitsAtEnd({ ...limits, keysPerRow: 10 }, 120_000).rows).toBe(6_000);
    expect(limitsAtEnd({ ...limits, keys: 40_000 }, 12_000)).toEqual({ ...limits, rows: 6_000, keys: 6_000 });
    // a small rest, or an estimate that is used up; a size that somebody asked for
    expect(limitsAtEnd(limits, 1_500)).toEqual(limits);
    expect(limitsAtEnd({ ...limits, isRough: false }, 12_000).rows).toBe(10_000);
  });

  it('halves the rest further where its rows take long, down to a tenth of a second', () => {
    expect(leastRowsAtEnd({ rows: 1_500, durationMs: 500 })).toBe(300);
    expect(leastRowsAtEnd({ rows: 10_000, durationMs: 100 }), 'quick rows').toBe(1_000);
    expect(leastRowsAtEnd({ rows: 1, durationMs: 60_000 })).toBe(1);
    expect(leastRowsAtEnd({ rows: 0, durationMs: 60_000 }), 'nothing is known').toBe(1_000);
    const limits = { rows: 1_500, keys: null, isRough: true, leastRows: 300 };
    expect(limitsAtEnd(limits, 1_000).rows).toBe(500);
    expect(limitsAtEnd(limits, 500).rows).toBe(1_500);
    expect(limitsAtEnd({ ...limits, keysPerRow: 10 }, 10_000).rows).toBe(500);
  });

  it('has lanes steal a few chunks, or what would be some when a run ends', () => {
    expect(worthStealing(100, 1_000)).toBe(400);
    expect(worthStealing(10_000, 1_000)).toBe(4_000);
    expect(worthStealing(1_500, 300)).toBe(1_200);
  });

  it('is always at least one row and one key, and never more rows than allowed', () => {
    fc.assert(
      fc.property(
        fc.record({
          limits: fc.record({
            rows: fc.integer({ min: 1, max: 10_000 }),
            keys: fc.option(fc.integer({ min: 1, max: 10_000_000 })),
          }),
          rows: fc.integer({ min: 0, max: 10_000 }),
          isFull: fc.boolean(),
          hasMore: fc.boolean(),
          readMs: fc.double({ min: 0, max: 60_000, noNaN: true }),
          durationMs: fc.double({ min: 0, max: 60_000, noNaN: true }),
          targetMs: fc.integer({ min: 1, max: 60_000 }),
          maxRows: fc.constant(10_000),
          bytes: fc.integer({ min: 0, max: 1_000_000_000 }),
          maxBytes: fc.constant(16_777_216),
        }),
        (measure) => {
          for (const { rows, keys } of [nextLimits(measure), nextSetLimits(measure)]) {
            expect(Number.isInteger(rows) && rows >= 1 && rows <= 10_000).toBe(true);
            expect(keys === null || (Number.isInteger(keys) && keys >= 1)).toBe(true);
          }
        },
      ),
    );
  });
});

describe('a search that ran into its time limit', () => {
  it('is tried over fewer keys, down to one', () => {
    expect(halveKeys({ rows: 1_000, keys: null })).toEqual({ rows: 1_000, keys: 10_000 });
    expect(halveKeys({ rows: 1_000, keys: 10_000 })).toEqual({ rows: 1_000, keys: 5_000 });
    expect(halveKeys({ rows: 1_000, keys: 1 })).toBeNull();
  });

  it('had some seconds, and never more than a statement has', () => {
    expect(searchLimitMs(500, 30_000)).toBe(5_000);
    expect(searchLimitMs(4_000, 30_000)).toBe(20_000);
    expect(searchLimitMs(500, 1_000)).toBe(1_000);
    expect(searchLimitMs(500, 30_000, true), 'of a sweep').toBe(30_000);
  });
});
