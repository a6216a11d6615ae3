import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  Suspects,
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

/** Chunks that are tried until `rows` rows are done or set aside, as a lane and its ledger go about it. */
function triesFor(
  rows: number,
  bad: ReadonlySet<number>,
  chunkSize: number,
  suspects: Suspects | null,
): number {
  let [tries, cursor, maxRows] = [0, 0, Infinity];
  while (cursor < rows) {
    const size = Math.min(chunkSize, maxRows, suspects?.most(1) ?? Infinity, rows - cursor);
    tries += 1;
    const isBad = Array.from({ length: size }, (_, index) => cursor + index).some((row) => bad.has(row));
    if (isBad && size > 1) {
      suspects?.failed(1, size);
      maxRows = rowsAfterFailure(size, true);
    } else {
      suspects?.passed(1, isBad ? Infinity : size);
      cursor += size;
      maxRows = isBad ? 1 : maxRows * 2;
    }
  }
  return tries;
}

describe('Suspects', () => {
  const every = (step: number): ReadonlySet<number> =>
    new Set(Array.from({ length: 1_000 / step }, (_, index) => index * step + step - 1));
  it.each([
    ['none', new Set<number>(), 1, 1],
    ['the first', new Set([0]), 20, 20],
    ['the last', new Set([999]), 11, 21],
    ['one in the middle', new Set([617]), 21, 32],
    ['ten that are spread', every(100), 129, 173],
    ['every second', every(2), 1_507, 1_508],
    ['all', every(1), 1_009, 1_009],
  ])('lets %s of 1,000 rows be found in few tries', (_which, bad, tries, withoutThem) => {
    expect([triesFor(1_000, bad, 1_000, new Suspects()), triesFor(1_000, bad, 1_000, null)]).toEqual([
      tries,
      withoutThem,
    ]);
  });

  it('knows nothing of a range once its rows are passed', () => {
    const suspects = new Suspects();
    suspects.failed(1, 10);
    suspects.passed(1, 4);
    expect([suspects.most(1), suspects.most(2)]).toEqual([3, Infinity]);
    suspects.passed(1, 6);
    expect(suspects.most(1)).toBe(Infinity);
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
