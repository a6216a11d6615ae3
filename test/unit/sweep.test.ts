import { describe, expect, it } from 'vitest';
import { afterPasses, mostSweeps } from '../../src/core/size/sweep.ts';

describe('after a pass over the table', () => {
  it('comes a sweep, whatever the first pass has found', () => {
    expect(afterPasses([])).toBe('sweep');
    expect(afterPasses([0])).toBe('sweep');
    expect(afterPasses([1_000_000])).toBe('sweep');
  });

  it('comes another one while they find less and less', () => {
    expect(afterPasses([1_000_000, 5_000])).toBe('sweep');
    expect(afterPasses([1_000_000, 5_000, 2_000, 800])).toBe('sweep');
  });

  it('comes nothing once a sweep has found nothing', () => {
    expect(afterPasses([1_000_000, 0])).toBe('done');
    expect(afterPasses([10, 5, 5, 5, 0])).toBe('done');
  });

  it('comes another one where rows are left beside an empty one, but not for ever', () => {
    expect(afterPasses([1_000, 50, 0], true)).toBe('sweep');
    expect(afterPasses([1_000, 50, 0], false)).toBe('done');
    expect(afterPasses([1_000, ...Array.from({ length: mostSweeps }, () => 0)], true)).toBe('endless');
  });

  it('comes nothing where the application inserts as fast as rows are found', () => {
    expect(afterPasses([1_000, 50, 50])).toBe('sweep');
    expect(afterPasses([1_000, 50, 50, 50])).toBe('endless');
    const halving = Array.from({ length: mostSweeps + 1 }, (_, index) => 2 ** (20 - index));
    expect(afterPasses(halving)).toBe('endless');
    expect(afterPasses(halving.slice(0, -1))).toBe('sweep');
  });
});
