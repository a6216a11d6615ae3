import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstChunkSize, initialChunkSize, nextChunkSize } from '../../src/core/size/chunk-size.ts';

const measure = fc.record({
  current: fc.integer({ min: 1, max: 100_000 }),
  rows: fc.integer({ min: 0, max: 100_000 }),
  durationMs: fc.double({ min: 0, max: 60_000, noNaN: true }),
  targetMs: fc.integer({ min: 1, max: 60_000 }),
  maxRows: fc.integer({ min: 1, max: 100_000 }),
  bytes: fc.integer({ min: 0, max: 1_000_000_000 }),
  maxBytes: fc.integer({ min: 1, max: 1_000_000_000 }),
});

describe('the size of the next chunk', () => {
  it('doubles while chunks are fast, and halves when they take twice the time', () => {
    const full = { current: initialChunkSize, rows: initialChunkSize, targetMs: 500, maxRows: 10_000 };
    expect(nextChunkSize({ ...full, durationMs: 10 })).toBe(2_000);
    expect(nextChunkSize({ ...full, durationMs: 1_000 })).toBe(500);
    expect(nextChunkSize({ ...full, durationMs: 500_000 })).toBe(1);
  });

  it('does not grow by a chunk that was not full', () => {
    const half = { current: 1_000, rows: 500, targetMs: 500, maxRows: 10_000, durationMs: 1 };
    expect(nextChunkSize(half)).toBe(1_000);
  });

  it('is a whole number from 1 to the most rows, and at most twice the last one', () => {
    fc.assert(
      fc.property(measure, (given) => {
        const next = nextChunkSize(given);
        expect(Number.isInteger(next)).toBe(true);
        expect(next).toBeGreaterThanOrEqual(1);
        expect(next).toBeLessThanOrEqual(given.maxRows);
        expect(next).toBeLessThanOrEqual(given.current * 2);
      }),
    );
  });

  it('keeps within the bytes, at the bytes a row of the last chunk', () => {
    const wide = {
      current: 1_000,
      rows: 1_000,
      durationMs: 1,
      targetMs: 500,
      maxRows: 10_000,
      bytes: 1_000_000,
    };
    expect(nextChunkSize({ ...wide, maxBytes: 500_000 })).toBe(500);
    expect(nextChunkSize({ ...wide, maxBytes: 10 })).toBe(1);
    expect(nextChunkSize(wide)).toBe(2_000);
  });

  it('is never larger for a chunk that took longer', () => {
    fc.assert(
      fc.property(measure, fc.double({ min: 1, max: 100, noNaN: true }), (given, factor) => {
        const slower = nextChunkSize({ ...given, durationMs: given.durationMs * factor });
        expect(slower).toBeLessThanOrEqual(nextChunkSize(given));
      }),
    );
  });
});

describe('the size of the first chunk', () => {
  it('fits wide rows into the bytes allowed, and is never less than one row', () => {
    expect(firstChunkSize(0, 16_777_216)).toBe(initialChunkSize);
    expect(firstChunkSize(200, 16_777_216)).toBe(initialChunkSize);
    expect(firstChunkSize(1_048_576, 16_777_216)).toBe(16);
    expect(firstChunkSize(100_000_000, 16_777_216)).toBe(1);
  });
});
