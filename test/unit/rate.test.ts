import { describe, expect, it } from 'vitest';
import { RateMeter } from '../../src/core/progress/meters.ts';

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

  it('does not take waiting for slowness', () => {
    const meter = new RateMeter();
    meter.add(0, 0);
    meter.add(1_000, 1_000);
    meter.skip();
    meter.add(1_000, 61_000);
    expect(meter.perSecond()).toBe(1_000);
    meter.add(2_000, 62_000);
    expect(meter.perSecond()).toBe(1_000);
  });

  it('never falls below zero, and ignores a reading of the same moment', () => {
    const meter = new RateMeter();
    meter.add(100, 0);
    meter.add(50, 1_000);
    meter.add(999, 1_000);
    expect(meter.perSecond()).toBe(0);
  });
});
