import fc from 'fast-check';
import { expect, it } from 'vitest';
import { applicationName } from '../../src/core/values/application-name.ts';

const here = { host: 'web-1', pid: 4711 };

it('names the migration, the process and the lane', () => {
  expect(applicationName({ migration: 'sku-norm', lane: '2' }, here)).toBe(
    'umzug-cluster sku-norm web-1:4711 2',
  );
  expect(applicationName({ lane: 'control' }, here)).toBe('umzug-cluster web-1:4711 control');
});

it('keeps in front of it what the user has set', () => {
  expect(applicationName({ migration: 'a', lane: '1' }, here, 'billing')).toBe(
    'billing: umzug-cluster a web-1:4711 1',
  );
  expect(applicationName({ migration: 'a', lane: '1' }, here, 'umzug-cluster')).toBe(
    'umzug-cluster a web-1:4711 1',
  );
});

it('shortens the name where there is no room: first its timestamp, then its end; and never the process', () => {
  const migration = '2025.05.18T22.04.04.dated-to-date-given';
  expect(applicationName({ migration, lane: '1' }, here)).toBe(
    'umzug-cluster dated-to-date-given web-1:4711 1',
  );
  const pod = { host: 'backfill-sku-norm-7f9c8-abcde', pid: 17 };
  expect(applicationName({ migration, lane: '12' }, pod)).toBe(
    'umzug-cluster dated-to-da.. backfill-sku-norm-7f9c8-abcde:17 12',
  );
  expect(applicationName({ migration, lane: '12' }, { host: 'h'.repeat(60) + 'abcde', pid: 17 })).toMatch(
    /^umzug-cluster \.\.h+abcde:17 12$/,
  );
});

it('always fits into what the server keeps, as it keeps it, and ends with pid and lane', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 90 });
  fc.assert(
    fc.property(text, text, text, fc.nat({ max: 4_194_304 }), (migration, host, own, pid) => {
      const name = applicationName({ migration, lane: 'control' }, { host, pid }, own);
      expect(name).toMatch(/^[ -~]{1,63}$/);
      expect(name.endsWith(`:${pid} control`)).toBe(true);
      expect(name).toMatch(/(^|: )umzug-cluster /);
    }),
  );
});
