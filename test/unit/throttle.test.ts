import { describe, expect, it } from 'vitest';
import { signalOf } from '../../src/core/throttle/answer.ts';
import {
  Decider,
  type Decision,
  HeldWatch,
  free,
  lanesWithin,
  restMs,
} from '../../src/core/throttle/decision.ts';
import { Gauge } from '../../src/core/throttle/gauge.ts';
import { type Hours, isWithin, parseSpan } from '../../src/core/throttle/hours.ts';
import { LagClock, WalRate } from '../../src/core/throttle/lag.ts';
import { type Limit, limitsOf } from '../../src/core/throttle/limits.ts';
import { Patience } from '../../src/core/throttle/patience.ts';
import type { Signal } from '../../src/core/throttle/signal.ts';
import { defaultTuning, gaugeNames } from '../../src/core/config/settings.ts';

const limit = (value: number, rest: Partial<Limit> = {}): Limit => ({
  value,
  isAsked: true,
  critical: null,
  ...rest,
});
const MB = 1_000_000;

describe('a limit', () => {
  const lag = (value: number, subject = 'replica-1') => ({ subject, value });

  it('slows a run down near it, holds it beyond it, and lets it work only well below it', () => {
    const gauge = new Gauge('maxLagBytes');
    const seen = [20, 28, 33, 30, 27, 25, 20].map((value) => gauge.see([lag(value * MB)], limit(32 * MB)));
    expect(seen.map((signal) => signal && [signal.response, signal.text])).toEqual([
      null,
      ['slow', 'replica lag 28 MB > 26 MB (replica-1)'],
      ['hold', 'replica lag 33 MB > 32 MB (replica-1)'],
      ['hold', 'replica lag 30 MB > 26 MB (replica-1)'],
      ['hold', 'replica lag 27 MB > 26 MB (replica-1)'],
      null,
      null,
    ]);
  });

  it('names the worst of several, each of which has a state of its own', () => {
    const gauge = new Gauge('maxLagBytes');
    gauge.see([lag(40 * MB, 'a'), lag(1, 'b')], limit(32 * MB));
    expect(gauge.see([lag(30 * MB, 'a'), lag(31 * MB, 'b')], limit(32 * MB))).toMatchObject({
      kind: 'replica lag (a)',
      response: 'hold',
    });
    // One that has left and comes again is new.
    gauge.see([], limit(32 * MB));
    expect(gauge.see([lag(30 * MB, 'a')], limit(32 * MB))?.response).toBe('slow');
  });

  it('stops a run beyond its critical value', () => {
    const gauge = new Gauge('maxDeadTuples');
    const critical = limit(1_000, { critical: 5_000 });
    expect(gauge.see([{ subject: 'public.t', value: 6_000 }], critical)).toMatchObject({
      response: 'abort',
      text: 'dead tuples 6,000 > 5,000 (public.t)',
    });
  });

  it('that nobody has asked for counts what is added since the first look', () => {
    const gauge = new Gauge('maxSlotBytes');
    const usual = limit(10 * MB, { isAsked: false });
    const slot = (value: number) => gauge.see([{ subject: 'old', value: value * MB }], usual);
    expect(
      [slot(500), slot(504), slot(511), slot(300), slot(309), slot(311)].map(
        (signal) => signal?.text ?? null,
      ),
    ).toEqual([
      null,
      null,
      'WAL kept for slot 511 MB > 510 MB (old)',
      null,
      'WAL kept for slot 309 MB > 308 MB (old)',
      'WAL kept for slot 311 MB > 310 MB (old)',
    ]);
    expect(
      new Gauge('maxSlotBytes').see([{ subject: 'old', value: 500 * MB }], limit(10 * MB))?.response,
    ).toBe('hold');
  });

  it('on connections is one that nothing may fall below, and only slows down', () => {
    const gauge = new Gauge('minFreeConnections');
    const seen = [20, 6, 4, 6, 7].map((value) => gauge.see([{ subject: null, value }], limit(5)));
    expect(seen.map((signal) => signal?.text ?? null)).toEqual([
      null,
      'free connections 6 < 6',
      'free connections 4 < 5',
      'free connections 6 < 6',
      null,
    ]);
    expect(seen.every((signal) => signal === null || signal.response === 'slow')).toBe(true);
  });

  it('on waiters lets everybody through who waits for a lock, and then works as before', () => {
    const gauge = new Gauge('maxLockWaiters');
    const waiting = (value: number) => gauge.see([{ subject: null, value, note: 'pid 7' }], limit(0));
    expect(waiting(2)).toEqual({
      kind: 'lock waiters',
      text: 'lock waiters 2 > 0 (pid 7)',
      response: 'hold',
      isLoad: false,
    });
    expect(waiting(0)).toBeNull();
  });
});

describe('limits', () => {
  const tuning = defaultTuning(4);
  const none = { asked: [], critical: {} };

  it('are the defaults, then what is configured, then what an operator has set', () => {
    expect(limitsOf(tuning, none, {}).maxLagBytes).toEqual({
      value: 1_000 * MB,
      isAsked: false,
      critical: null,
    });
    const configured = { ...tuning, maxLagBytes: 5 };
    const asked = { asked: ['maxLagBytes' as const], critical: { maxLagBytes: 9 } };
    expect(limitsOf(configured, asked, {}).maxLagBytes).toEqual({ value: 5, isAsked: true, critical: 9 });
    expect(limitsOf(configured, asked, { maxLagBytes: 7 }).maxLagBytes?.value).toBe(7);
    expect(limitsOf(configured, asked, { maxLagBytes: null }).maxLagBytes).toBeUndefined();
    expect(limitsOf(tuning, none, { maxLagMs: 7 }).maxLagMs).toEqual({
      value: 7,
      isAsked: true,
      critical: null,
    });
  });

  it('are none at full speed, but for what an operator has set', () => {
    const full = { ...tuning, fullSpeed: true, maxLagMs: 5 };
    expect(limitsOf(full, none, {})).toEqual({});
    expect(Object.keys(limitsOf(full, none, { maxLagMs: 3 }))).toEqual(['maxLagMs']);
    expect(Object.keys(limitsOf(tuning, none, {})).filter((name) => name !== 'maxHoldMs')).toEqual(
      gaugeNames.filter((name) => tuning[name] !== null),
    );
  });
});

const signal = (rest: Partial<Signal> = {}): Signal => ({
  kind: 'replica lag (a)',
  text: 'replica lag 48 MB > 32 MB (a)',
  response: 'hold',
  isLoad: true,
  ...rest,
});

describe('a decision', () => {
  it('halves the speed while the load is too much, every two seconds, and raises it again slowly', () => {
    const decider = new Decider();
    const at = (seconds: number, signals: readonly Signal[]): number =>
      decider.decide(signals, seconds * 1_000, null).factor;
    const slow = [signal({ response: 'slow' })];
    expect([at(0, []), at(1, slow), at(2, slow), at(3, slow), at(5, slow), at(60, slow)]).toEqual([
      1, 0.5, 0.5, 0.25, 0.125, 0.125,
    ]);
    expect([at(61, []), at(62, []), at(64, []), at(80, [])]).toEqual([0.225, 0.325, 0.525, 1].map(closeTo));
  });

  it('holds for what slower work would not change, without slowing down afterwards', () => {
    const decider = new Decider();
    const held = decider.decide([signal({ kind: 'lock waiters', isLoad: false })], 0, null);
    expect(held).toMatchObject({ factor: 1, slow: null, hold: { kind: 'lock waiters' } });
    expect(decider.decide([], 500, null)).toEqual(free);
  });

  it('names all reasons, those of a stop first, under which no chunk begins either', () => {
    const both = [signal(), signal({ kind: 'check: x', text: 'check: x', response: 'abort' })];
    const decision = new Decider().decide(both, 0, null);
    expect(decision.abort?.text).toBe('check: x');
    expect(decision.hold?.text).toBe('check: x; replica lag 48 MB > 32 MB (a)');
  });

  it('stops a run that is held back for longer than it may be', () => {
    const decider = new Decider();
    expect(decider.decide([signal()], 0, 60_000).abort).toBeNull();
    expect(decider.decide([signal()], 59_000, 60_000).abort).toBeNull();
    expect(decider.decide([signal()], 61_000, 60_000).abort?.text).toBe(
      'held back for 1m 01s: replica lag 48 MB > 32 MB (a)',
    );
    decider.decide([], 62_000, 60_000);
    expect(decider.decide([signal()], 63_000, 60_000).abort).toBeNull();
  });

  it('is told once it has lasted, until it is over for as long, and with the numbers of the moment', () => {
    const watch = new HeldWatch();
    const held = (text: string): Decision => ({ ...free, hold: signal({ text }) });
    const told = [
      [0, held('48')],
      [500, free],
      [1_000, held('48')],
      [2_000, held('49')],
      [2_250, held('50')],
      [2_500, free],
      [2_750, held('51')],
      [3_000, free],
      [4_000, free],
    ] as const;
    expect(told.map(([at, decision]) => watch.tell(decision, at)?.text ?? null)).toEqual([
      null,
      null,
      null,
      '49',
      '50',
      '50',
      '51',
      '51',
      null,
    ]);
  });

  it('leaves every process a lane, which rests for its share of the time', () => {
    expect([lanesWithin(8, 0.5), lanesWithin(2, 0.125), lanesWithin(2, 1)]).toEqual([4, 1, 2]);
    expect([restMs(100, 1), restMs(100, 0.25)]).toEqual([0, 300]);
  });
});

describe('lag in time', () => {
  it('grows while replay is paused, whatever the server says', () => {
    const clock = new LagClock();
    for (const second of [0, 1, 2, 3]) clock.mark(100 + second * 10, second * 1_000);
    expect(clock.lagMs({ at: 130, serverLagMs: 900 }, 3_000)).toBe(0);
    expect(clock.lagMs({ at: 115, serverLagMs: 0 }, 3_000)).toBe(1_000);
    expect(clock.lagMs({ at: 115, serverLagMs: 0 }, 9_000)).toBe(7_000);
    // Behind since before anybody looked: at least what the server says.
    expect(clock.lagMs({ at: 50, serverLagMs: 20_000 }, 3_000)).toBe(20_000);
  });

  it('does not grow on a server that writes nothing', () => {
    const clock = new LagClock();
    for (const second of [0, 1, 2, 3]) clock.mark(100, second * 1_000);
    expect(clock.lagMs({ at: 100, serverLagMs: null }, 60_000)).toBe(0);
  });
});

it('WAL per second is that of about the last two seconds', () => {
  const rate = new WalRate();
  const seen = [0, 1, 2, 3, 4, 5].map((at) => rate.add(at < 3 ? at * 10 : 20 + (at - 2) * 50, at * 1_000));
  expect(seen).toEqual([null, 10, 10, 30, 50, 50]);
});

describe('hours', () => {
  const hours = (...texts: readonly string[]): Hours => ({
    text: texts.join(', '),
    timeZone: 'Europe/Berlin',
    spans: texts.map((text) => parseSpan(text) ?? [0, 0]),
  });
  const night = hours('22:00-06:00');

  it.each([
    ['2026-01-15T20:59:59Z', false], // 21:59 in Berlin
    ['2026-01-15T21:00:00Z', true],
    ['2026-01-16T04:59:59Z', true],
    ['2026-01-16T05:00:00Z', false],
    ['2026-07-15T19:59:59Z', false], // summer time
    ['2026-07-15T20:00:00Z', true],
    ['2026-07-16T04:00:00Z', false],
  ])('from 22:00 to 06:00 in Berlin: %s %s', (at, within) => {
    expect(isWithin(night, Date.parse(at))).toBe(within);
  });

  it('may be several, of which one ends with the day', () => {
    const two = hours('12:00-13:30', '23:00-24:00');
    const at = (time: string): boolean => isWithin(two, Date.parse(`2026-01-15T${time}:00+01:00`));
    expect(['11:59', '12:00', '13:29', '13:30', '23:00', '23:59'].map(at)).toEqual([
      false,
      true,
      true,
      false,
      true,
      true,
    ]);
    expect(at('00:00')).toBe(false);
  });

  it.each(['22-06', '22:00', '25:00-26:00', '22:60-23:00', '10:00-10:00', '24:00-06:00', ''])(
    'are not %s',
    (text) => {
      expect(parseSpan(text)).toBeNull();
    },
  );
});

describe('an answer of a probe of the user', () => {
  it.each([null, undefined, false, 0, '0', '', '  \n'])('lets a run work: %j', (answer) => {
    expect(signalOf('query', answer)).toBeNull();
  });

  it.each([
    [true, 'hold', 'query: asked to hold'],
    [3, 'hold', 'query: 3'],
    ['reports run\nuntil six', 'hold', 'query: reports run'],
    ['hold: deploy of 12 services', 'hold', 'query: deploy of 12 services'],
    ['slow', 'slow', 'query: asked to slow down'],
    ['ABORT: not today', 'abort', 'query: not today'],
    ['slower than usual', 'hold', 'query: slower than usual'],
  ] as const)('%j asks for %s', (answer, response, text) => {
    expect(signalOf('query', answer)).toMatchObject({ response, text });
  });

  it('is told once, however its numbers change', () => {
    expect(signalOf('query', 'queue has 12 jobs')?.kind).toBe(signalOf('query', 'queue has 1900 jobs')?.kind);
  });
});

it('a signal that cannot be read holds a run after 15 s, or until it was read once', () => {
  const patience = new Patience('replica lag');
  expect(patience.failed('timeout', 0)).toMatchObject({
    response: 'hold',
    text: 'replica lag cannot be read: timeout',
  });
  patience.read(1_000);
  expect(patience.failed('timeout', 15_999)).toBeNull();
  expect(patience.failed('timeout', 16_000)?.kind).toBe('replica lag cannot be read');
});

function closeTo(value: number): unknown {
  return expect.closeTo(value, 6);
}
