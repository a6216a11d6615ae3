import { describe, expect, it } from 'vitest';
import { shouldFork } from '../../src/core/size/fork.ts';

const running = {
  elapsedMs: 500,
  isFirstChunk: false,
  leftInDone: 99,
  openRanges: 8,
  workers: 2,
  isAsked: true,
  lanes: null,
  loopBusy: 0.3,
  forked: 0,
};

describe('forking a worker', () => {
  it('pays while seconds of work are left', () => {
    expect(shouldFork(running)).toBe(true);
    expect(shouldFork({ ...running, leftInDone: 4 })).toBe(true);
  });

  it('does not pay for what is done before a worker is ready', () => {
    expect(shouldFork({ ...running, leftInDone: 1 })).toBe(false);
  });

  it('pays by the first chunk alone only while three times as long is left', () => {
    const first = { ...running, elapsedMs: 40, isFirstChunk: true };
    expect(shouldFork({ ...first, leftInDone: 61 })).toBe(false);
    expect(shouldFork({ ...first, leftInDone: 119 })).toBe(true);
    expect(shouldFork({ ...first, leftInDone: 61, elapsedMs: 300 })).toBe(true);
  });

  it('waits a second where nobody knows how much is left', () => {
    expect(shouldFork({ ...running, leftInDone: null })).toBe(false);
    expect(shouldFork({ ...running, leftInDone: null, elapsedMs: 1_000 })).toBe(true);
  });

  it('does not pay where nobody has asked for it, the database is what waits, and each core has a chunk', () => {
    const unasked = { ...running, isAsked: false };
    expect(shouldFork(unasked)).toBe(false);
    expect(shouldFork({ ...unasked, loopBusy: 0.95 })).toBe(true);
    expect(shouldFork({ ...unasked, lanes: 1 })).toBe(true);
    expect(shouldFork({ ...unasked, workers: 8 })).toBe(true);
    expect(shouldFork({ ...unasked, workers: 8, forked: 2 })).toBe(true);
    expect(shouldFork({ ...unasked, workers: 8, forked: 3 })).toBe(false);
    expect(shouldFork({ ...unasked, workers: 8, forked: 3, loopBusy: 0.95 })).toBe(true);
  });

  it('never exceeds the workers, the primary among them, and needs open ranges', () => {
    expect(shouldFork({ ...running, forked: 1 })).toBe(false);
    expect(shouldFork({ ...running, workers: 1 })).toBe(false);
    expect(shouldFork({ ...running, openRanges: 0 })).toBe(false);
  });
});
