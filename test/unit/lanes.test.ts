import { describe, expect, it } from 'vitest';
import { LaneFeedback, mostLanes, usualLanes } from '../../src/core/lanes.ts';

/** Runs for so long on a server where a chunk of 1,000 rows takes `chunkMs(lanes)`; returns the time at each number. */
function simulate(
  feedback: LaneFeedback,
  chunkMs: (lanes: number) => number,
  forMs: number,
  fromMs = 0,
): Map<number, number> {
  const spent = new Map<number, number>();
  let now = fromMs;
  while (now < fromMs + forMs) {
    const { lanes } = feedback;
    const took = chunkMs(lanes);
    for (let lane = 0; lane < lanes; lane += 1) {
      feedback.add({ rows: 1_000, startedAt: now, endedAt: now + took });
    }
    now += took;
    spent.set(lanes, (spent.get(lanes) ?? 0) + took);
  }
  return spent;
}

const slowDisk = (): number => 400;
const busyCores = (lanes: number): number => 200 * lanes;

describe('the number of lanes', () => {
  it('begins with two, or with as many as there may be', () => {
    expect(new LaneFeedback().lanes).toBe(usualLanes);
    expect(new LaneFeedback(1).lanes).toBe(1);
  });

  it('grows to the most where more chunks in flight are faster in proportion, and mostly stays there', () => {
    const feedback = new LaneFeedback();
    const spent = simulate(feedback, slowDisk, 120_000);
    expect(spent.get(mostLanes)).toBeGreaterThan(0.85 * 120_000);
  });

  it('stays at two where the cores are what waits, and hardly tries more', () => {
    const feedback = new LaneFeedback();
    const spent = simulate(feedback, busyCores, 120_000);
    expect(feedback.lanes).toBe(usualLanes);
    expect(spent.get(usualLanes)).toBeGreaterThan(0.85 * 120_000);
    expect(spent.get(mostLanes)).toBeUndefined();
  });

  it('finds the number in between at which the disk is busy', () => {
    const feedback = new LaneFeedback();
    const spent = simulate(feedback, (lanes) => 400 * Math.max(1, lanes / 4), 120_000);
    expect(spent.get(4)).toBeGreaterThan(0.7 * 120_000);
  });

  it('goes back when what made many pay has passed, and grows again when it returns', () => {
    const feedback = new LaneFeedback();
    simulate(feedback, slowDisk, 60_000);
    expect(feedback.lanes).toBeGreaterThan(usualLanes);
    const warm = simulate(feedback, busyCores, 240_000, 60_000);
    expect(warm.get(usualLanes)).toBeGreaterThan(0.5 * 240_000);
    const cold = simulate(feedback, slowDisk, 400_000, 300_000);
    expect(cold.get(mostLanes)).toBeGreaterThan(0.3 * 400_000);
  });

  it('does not take a chunk that grew for a lane that pays', () => {
    const feedback = new LaneFeedback();
    for (let n = 0; n < 20; n += 1) {
      const rows = 1_000 * 2 ** n;
      feedback.add({ rows, startedAt: n, endedAt: n + 1 });
    }
    expect(feedback.lanes).toBe(usualLanes);
  });

  it('never leaves its bounds, whatever chunks take', () => {
    const feedback = new LaneFeedback(5);
    let seed = 1;
    for (let n = 0; n < 5_000; n += 1) {
      seed = (seed * 16_807) % 2_147_483_647;
      const endedAt = n * 100 + (seed % 100);
      const lanes = feedback.add({ rows: 1_000, startedAt: endedAt - 1 - (seed % 90), endedAt });
      expect(lanes).toBeGreaterThanOrEqual(usualLanes);
      expect(lanes).toBeLessThanOrEqual(5);
    }
  });
});
