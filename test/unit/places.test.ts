import { describe, expect, it } from 'vitest';
import { endAfter, endOfBlock, middlePlace, nextBlock, parsePlace } from '../../src/core/size/places.ts';

describe('places in a table', () => {
  it('are read as Postgres writes them', () => {
    expect(parsePlace('(4294967294,7)')).toEqual({ block: 4_294_967_294, offset: 7 });
    expect(() => parsePlace('4,7')).toThrow('no place');
  });

  it('go on in their block, or in the next one where it is done', () => {
    expect(nextBlock(null)).toBe(0);
    expect(nextBlock('(3,12)')).toBe(3);
    expect(nextBlock(endOfBlock(3))).toBe(4);
  });

  it('end after so many blocks, at least one, and never behind the range', () => {
    expect(endAfter(null, 1, endOfBlock(9))).toBe(endOfBlock(0));
    expect(endAfter('(3,12)', 2.7, endOfBlock(9))).toBe(endOfBlock(4));
    expect(endAfter(endOfBlock(3), 0.2, endOfBlock(9))).toBe(endOfBlock(4));
    expect(endAfter(endOfBlock(3), 100, '(9,17)')).toBe('(9,17)');
    expect(endAfter('(9,3)', 1, '(9,17)')).toBe('(9,17)');
  });

  it('have a middle only where two parts are left', () => {
    expect(middlePlace(null, endOfBlock(9))).toBe(endOfBlock(4));
    expect(middlePlace(endOfBlock(7), endOfBlock(9))).toBeNull();
    expect(middlePlace('(3,1)', endOfBlock(9))).toBe(endOfBlock(6));
  });
});
