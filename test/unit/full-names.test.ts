import { expect, it } from 'vitest';
import { fullName } from '../../src/commands/frame/full-names.ts';

const known = ['2025.01.slug', '2025.02.slug-of-tags', '2025.03.sku', 'sku'];

it.each([
  ['2025.03', '2025.03.sku'],
  ['tags', '2025.02.slug-of-tags'],
  ['sku', 'sku'],
  ['2025.01.slug', '2025.01.slug'],
  ['nothing', 'nothing'],
])('a name may be any part that no other has, and a full name wins: %s', (word, name) => {
  expect(fullName(word, known)).toBe(name);
});

it('a part of several names is refused, with all of them', () => {
  expect(() => fullName('slug', known)).toThrow(
    expect.objectContaining({
      code: 'USAGE',
      message: '"slug" is a part of 2 names',
      detail: '2025.01.slug\n2025.02.slug-of-tags',
    }),
  );
});
