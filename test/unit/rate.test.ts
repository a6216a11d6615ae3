import { describe, expect, it } from 'vitest';
import { RateMeter } from '../../src/core/rate.ts';

describe('the rate', () => {
  it('is unknown until two readings are there', () => {
    const meter = new RateMeter();
    expect(meter.perSecond()).toBeNull();
    meter.add(100, 0);
    expect(meter.perSecond()).toBeNull();
    meter.add(1_100, 1_000);
    expect(meter.perSecond()).toBe(1_000);
  });

  it('follows a change by half within two seconds', () => {
    const meter = new RateMeter();
    meter.add(0, 0);
    meter.add(1_000, 1_000);
    meter.add(1_000, 3_000);
    expect(meter.perSecond()).toBeCloseTo(500, 5);
  });

  it('tells how long the rest takes, where it can', () => {
    const meter = new RateMeter();
    expect(meter.etaSeconds(10)).toBeNull();
    meter.add(0, 0);
    meter.add(1_000, 1_000);
    expect([meter.etaSeconds(500), meter.etaSeconds(0), meter.etaSeconds(-3)]).toEqual([0.5, 0, 0]);
    const still = new RateMeter();
    still.add(5, 0);
    still.add(5, 1_000);
    expect(still.etaSeconds(10)).toBeNull();
  });

  it('never falls below zero, and ignores a reading of the same moment', () => {
    const meter = new RateMeter();
    meter.add(100, 0);
    meter.add(50, 1_000);
    meter.add(999, 1_000);
    expect(meter.perSecond()).toBe(0);
  });
});
