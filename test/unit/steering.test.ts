import { describe, expect, it } from 'vitest';
import { type Situation, decide } from '../../src/core/config/operate.ts';
import { type RunState, runStates } from '../../src/core/config/states.ts';
import { parseOverrides, steer } from '../../src/core/config/steering.ts';
import { mostPacedRows, nextWaitMs, paceReason } from '../../src/core/size/pace.ts';

describe('a pace', () => {
  it('bounds a chunk by the rows of its target time, at least one', () => {
    expect(mostPacedRows(2_000, 500)).toBe(1_000);
    expect(mostPacedRows(1, 500)).toBe(1);
    expect(mostPacedRows(null, 500)).toBe(Infinity);
  });

  it('has those who wait ask again twice a second, and never without a breath', () => {
    expect([nextWaitMs(30_000), nextWaitMs(20), nextWaitMs(0), nextWaitMs(-7)]).toEqual([500, 20, 5, 5]);
  });

  it('is named as the reason, with its unit', () => {
    expect(paceReason(2_000)).toBe('pace: at most 2,000 rows/s over all hosts');
    expect(paceReason(null)).toBeNull();
  });
});

describe('what an operator has set', () => {
  const tuning = { chunkSize: null, targetMs: 500, workers: 8, pace: 100 };

  it('wins over configuration and file; null is off', () => {
    expect(steer(tuning, { chunkSize: 50, targetMs: 200 }, {})).toEqual({
      chunkSize: 50,
      targetMs: 200,
      workers: 8,
      pace: 100,
    });
    expect(
      steer(tuning, { chunkSize: 50 }, { chunkSize: null, targetMs: 900, workers: 1, pace: null }),
    ).toEqual({
      chunkSize: null,
      targetMs: 900,
      workers: 1,
      pace: null,
    });
  });

  it('is read from a ledger that somebody may have edited', () => {
    expect(parseOverrides({ chunkSize: 5, pace: null, workers: '8', other: 1 })).toEqual({
      chunkSize: 5,
      pace: null,
    });
    for (const odd of [null, undefined, 5, 'x', []]) expect(parseOverrides(odd)).toEqual({});
  });
});

describe('an operator', () => {
  const idle: Situation = { name: 'a', isExecuted: false, up: null, down: null, isPartlyBack: true };

  it.each([
    ['pause', 'paused', ['running']],
    ['resume', 'running', ['paused', 'cancelled']],
    ['cancel', 'cancelled', ['running', 'paused', 'failed']],
  ] as const)('can %s, which makes it %s, a run in these states only: %j', (verb, to, from) => {
    const moved = runStates.filter((state) => {
      const decision = decide(verb, { ...idle, up: state });
      if (decision.kind === 'move') expect(decision.to).toBe(to);
      if (decision.kind === 'refuse') expect(decision.why).toContain(`nothing to ${verb}`);
      return decision.kind === 'move';
    });
    expect(moved).toEqual<RunState[]>(runStates.filter((state) => from.some((one) => one === state)));
  });

  it('is answered with what is so already', () => {
    expect(decide('pause', { ...idle, up: 'paused' })).toMatchObject({ kind: 'already' });
    expect(decide('resume', { ...idle, up: 'running' })).toMatchObject({ kind: 'already' });
  });

  it('speaks to the rollback where there is one, and cannot cancel it once it has done something', () => {
    const reverting = { ...idle, up: 'reverting', down: 'running' } as const;
    expect(decide('pause', reverting)).toEqual({ kind: 'move', direction: 'down', to: 'paused' });
    expect(decide('cancel', reverting)).toMatchObject({ kind: 'refuse' });
    expect(decide('cancel', { ...reverting, isPartlyBack: false })).toEqual({ kind: 'abandon' });
  });
});
