import { describe, expect, it } from 'vitest';
import { lagReason } from '../../src/core/size/replica-lag.ts';

describe('what is said of replicas', () => {
  it('is nothing where there is none, or all are as near as they may be', () => {
    expect(lagReason([], 1)).toBe(null);
    expect(lagReason([{ name: 'a', behindBytes: 1_000 }], 1_000)).toBe(null);
  });

  it('names the one that is furthest behind, by the limit that it exceeds', () => {
    const replicas = [
      { name: 'a', behindBytes: 1_001 },
      { name: 'b', behindBytes: 70_000_000 },
    ];
    expect(lagReason(replicas, 1_000)).toBe('replica "b": more than 1.0 kB of WAL behind');
  });

  it('is nothing of one that has not said yet how far it is', () => {
    expect(lagReason([{ name: 'a', behindBytes: null }], 1_000)).toBe(null);
  });
});
