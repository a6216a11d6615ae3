import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  afterDeaths,
  reasonToStop,
  recentResults,
  rowsAfterFailure,
} from '../../src/core/errors/isolation.ts';

describe('rowsAfterFailure', () => {
  it('reaches one row within log2(n) + 1 tries', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 1_000_000 }), (size) => {
        let tries = 0;
        for (let rows = size; rows > 1; rows = rowsAfterFailure(rows, true)) tries += 1;
        expect(tries).toBeLessThanOrEqual(Math.log2(size) + 1);
      }),
    );
  });

  it('tries single rows while nothing has succeeded', () => {
    expect(rowsAfterFailure(10_000, false)).toBe(1);
  });
});

describe('afterDeaths', () => {
  it.each([
    [1, 1_000, { kind: 'go' }],
    [2, 1_000, { kind: 'go' }],
    [3, 1_000, { kind: 'shrink', rows: 500 }],
    [3, 3, { kind: 'shrink', rows: 1 }],
    [2, 1, { kind: 'go' }],
    [3, 1, { kind: 'quarantine' }],
  ])('decides after %i claims with %i rows', (openClaims, rows, decision) => {
    expect(afterDeaths(openClaims, rows)).toEqual(decision);
  });
});

describe('reasonToStop', () => {
  const calm = { quarantined: 1, maxQuarantined: 100, hasSucceeded: true, recent: [] };

  it('goes on while bad rows are few', () => {
    expect(reasonToStop(calm)).toBeNull();
    expect(reasonToStop({ ...calm, hasSucceeded: false, quarantined: 2 })).toBeNull();
  });

  it('stops what fails everywhere', () => {
    expect(reasonToStop({ ...calm, hasSucceeded: false, quarantined: 3 })).toMatch(/everywhere/);
  });

  it('stops at the limit of quarantined rows', () => {
    expect(reasonToStop({ ...calm, quarantined: 99 })).toBeNull();
    expect(reasonToStop({ ...calm, quarantined: 100 })).toMatch(/maxQuarantined/);
  });

  it('stops when more than half of the latest chunks failed', () => {
    const results = (failed: number): boolean[] =>
      Array.from({ length: recentResults }, (_, index) => index >= failed);
    expect(reasonToStop({ ...calm, recent: results(10) })).toBeNull();
    expect(reasonToStop({ ...calm, recent: results(11) })).toMatch(/half/);
    expect(reasonToStop({ ...calm, recent: [false, false, false] })).toBeNull();
  });
});
