import { describe, expect, it } from 'vitest';
import { alikeInCase, confusablePairs } from '../../src/core/values/confusable.ts';

describe('names that a person reads in another order than they run', () => {
  it.each([
    [['10-b', '2-a']],
    [['1.10.x', '1.2.x']],
    [['20250518100000_b', '20250518_a']],
    [['2025.10.1.b', '2025.9.1.a']],
  ])('are found: %j', (names) => {
    expect(confusablePairs(names)).toEqual([{ first: names[0], second: names[1] }]);
  });

  it.each([
    [['01-a', '02-b', '10-c']],
    [['2025.05.18T22.04.02.a', '2025.05.18T22.04.03.b']],
    [['a-10', 'a-2']],
    [['1-a', '1-b']],
    [['0-a', 'b']],
    [[]],
  ])('are not those that run as they read: %j', (names) => {
    expect(confusablePairs(names)).toEqual([]);
  });
});

it('names that differ in case alone are found', () => {
  expect(alikeInCase(['A', 'B', 'a', 'c'])).toEqual([['A', 'a']]);
});
