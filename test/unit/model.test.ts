import { describe, expect, it } from 'vitest';
import {
  type ChunkCosts,
  type Machines,
  chunkOf,
  ledgerLimitRows,
  predict,
  rowsAtTarget,
  splitCosts,
} from '../../bench/model.ts';

const costs: ChunkCosts = { clientMs: 10, serverMs: 20, ledgerMs: 0.1, walBytes: 0, waitMs: 70 };
const many: Machines = {
  clientCores: 160,
  serverCores: 16,
  isShared: false,
  walMbPerSecond: 500,
  lanes: 320,
};

describe('the model of a run', () => {
  it('has one lane take the sum of its costs', () => {
    const { chunkMs, chunksPerSecond, limit } = predict(costs, { ...many, lanes: 1 });
    expect(chunkMs).toBeCloseTo(100.1);
    expect(chunksPerSecond).toBeCloseTo(1_000 / 100.1);
    expect(limit).toBe('lanes');
  });

  it('gains with each lane, and never more than what is busiest can do', () => {
    const rates = [1, 2, 4, 8, 16, 32, 64, 320].map((lanes) => predict(costs, { ...many, lanes }));
    const perSecond = rates.map(({ chunksPerSecond }) => chunksPerSecond);
    expect(perSecond).toEqual(perSecond.toSorted((a, b) => a - b));
    expect(perSecond.at(-1)).toBeLessThanOrEqual(16_000 / 20 + 0.001);
    expect(perSecond.at(-1)).toBeGreaterThan((0.98 * 16_000) / 20);
    expect(rates.at(-1)?.limit).toBe('server');
  });

  it('doubles with twice the lanes as long as they mostly wait', () => {
    const [one, two] = [1, 2].map((lanes) => predict(costs, { ...many, lanes }).chunksPerSecond);
    expect((two ?? 0) / (one ?? 1)).toBeCloseTo(2, 2);
  });

  it('has client and server share the cores of one machine', () => {
    const shared = { clientCores: 2, serverCores: 2, isShared: true, walMbPerSecond: Infinity, lanes: 8 };
    expect(predict({ ...costs, waitMs: 0 }, shared).chunksPerSecond).toBeCloseTo(2_000 / 30, 0);
  });

  it('knows what limits it: the clients, the server, the ledger or the disk', () => {
    expect(predict({ ...costs, clientMs: 1_000 }, many).limit).toBe('client');
    expect(predict({ ...costs, ledgerMs: 20 }, many).limit).toBe('ledger');
    expect(predict({ ...costs, walBytes: 1_000_000 }, many)).toMatchObject({ limit: 'wal' });
    expect(predict({ ...costs, walBytes: 1_000_000 }, many).chunksPerSecond).toBeCloseTo(500, 0);
    expect(predict(costs, { ...many, lanes: 10 }).limit).toBe('lanes');
  });
});

describe('chunks', () => {
  const all = {
    perChunk: { clientMs: 1, serverMs: 1, waitMs: 2, ledgerMs: 0.1, walBytes: 0 },
    perRow: { clientMs: 0.005, serverMs: 0.01, waitMs: 0, walBytes: 0 },
  };

  it('have as many rows as take the target time, fewer the more wait for the server', () => {
    const target = { targetMs: 500, mostRows: 20_000 };
    const few = rowsAtTarget(all, { ...many, lanes: 16 }, target);
    const crowded = rowsAtTarget(all, many, target);
    expect(few).toBe(20_000 - 1);
    expect(crowded).toBeLessThan(few / 2);
    expect(predict(chunkOf(all, crowded), many).chunkMs).toBeLessThanOrEqual(500);
  });

  it('are limited by the ledger only where they are small', () => {
    const rows = ledgerLimitRows(all, many, 20_000);
    expect(rows).toBeGreaterThan(1);
    expect(predict(chunkOf(all, rows), many).limit).toBe('ledger');
    expect(predict(chunkOf(all, rows + 1), many).limit).not.toBe('ledger');
    expect(ledgerLimitRows({ ...all, perChunk: { ...all.perChunk, ledgerMs: 0 } }, many, 20_000)).toBe(0);
  });
});

describe('what was measured', () => {
  it('is split into start, chunks and rows', () => {
    const cost = (rows: number, chunks: number): number => 300 + chunks * 2 + rows * 0.01;
    const run = (rows: number, chunks: number) => ({ rows, chunks, cost: cost(rows, chunks) });
    const split = splitCosts([run(10_000, 100), run(10_000, 20), run(60_000, 100)]);
    expect(split.start).toBeCloseTo(300);
    expect(split.perChunk).toBeCloseTo(2);
    expect(split.perRow).toBeCloseTo(0.01);
    expect(() => splitCosts([run(10, 1), run(20, 2), run(30, 3)])).toThrow('same proportion');
  });
});
