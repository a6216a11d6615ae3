import { describe, expect, it } from 'vitest';
import { type StageTimes, addTimes, profileCells, profileOf } from '../../src/core/plan/profile.ts';

const primary: StageTimes = { start: { times: 1, ms: 100 }, commit: { times: 2, ms: 30 } };
const worker: StageTimes = { commit: { times: 3, ms: 20 }, read: { times: 3, ms: 50 } };

describe('a profile', () => {
  it('adds up what processes have measured, in any order', () => {
    const both = { start: { times: 1, ms: 100 }, commit: { times: 5, ms: 50 }, read: { times: 3, ms: 50 } };
    expect(addTimes(primary, worker)).toEqual(both);
    expect(addTimes(worker, primary)).toEqual(both);
    expect(primary.commit).toEqual({ times: 2, ms: 30 });
  });

  it('tells for each stage, in the order of a chunk, its time a chunk and its share', () => {
    const { chunks, totalMs, stages } = profileOf(addTimes(worker, primary));
    expect({ chunks, totalMs }).toEqual({ chunks: 5, totalMs: 200 });
    expect(stages.map(({ stage, perChunkMs, share }) => [stage, perChunkMs, share])).toEqual([
      ['start', 20, 0.5],
      ['read', 10, 0.25],
      ['commit', 10, 0.25],
    ]);
  });

  it('has no times a chunk where there was none', () => {
    expect(profileOf({ start: { times: 1, ms: 1 } }).stages[0]?.perChunkMs).toBeNull();
    expect(profileOf({})).toEqual({ chunks: 0, totalMs: 0, stages: [] });
    expect(profileCells(profileOf({})).at(-1)).toEqual(expect.arrayContaining(['all', '0']));
  });
});
