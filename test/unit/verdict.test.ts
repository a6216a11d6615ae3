import { describe, expect, it } from 'vitest';
import { judge } from '../../src/core/verdict.ts';

const withCode = (code: string, message = 'x'): string => judge({ code, message, isDatabase: true });
const withMessage = (message: string): string => judge({ message, isDatabase: true });

const transient = [
  '40001',
  '40P01',
  '55P03',
  '57P01',
  '57P02',
  '57P03',
  '25P03',
  '25P04',
  '57P05',
  '25006',
  '53300',
  '08006',
  '08001',
  '08P01',
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
];

describe('the verdict on a failed chunk', () => {
  it.each(transient.map((code) => [code]))('is to retry after %s', (code) =>
    expect(withCode(code)).toBe('retry'),
  );

  it.each([
    ['Connection terminated unexpectedly'],
    ['Connection terminated'],
    ['Client has encountered a connection error and is not queryable'],
    ['timeout expired'],
    ['Query read timeout'],
    ['Knex: Timeout acquiring a connection. The pool is probably full.'],
    ['server conn crashed?'],
    ['query_wait_timeout'],
    ['Postgres answered ROLLBACK to COMMIT'],
  ])('is to retry after "%s", which has no code', (message) => expect(withMessage(message)).toBe('retry'));

  it.each([['53100'], ['53200']])('is to retry slowly after %s', (code) =>
    expect(withCode(code)).toBe('retry-slow'),
  );

  it.each([['server conn crashed?'], ['query_wait_timeout'], ['server login has been failing']])(
    'is to retry after the 08P01 of PgBouncer: "%s"',
    (message) => expect(withCode('08P01', message)).toBe('retry'),
  );

  it('goes by the code where the message says otherwise', () => {
    expect(withCode('28P01', 'Connection terminated')).toBe('stop');
    expect(withCode('23505', 'timeout expired')).toBe('shrink');
  });

  it('is to shrink after a code that no one has heard of', () => expect(withCode('XX000')).toBe('shrink'));

  it('is to try once more, then smaller, after a statement timeout', () =>
    expect(withCode('57014')).toBe('once-then-shrink'));

  it.each([['22P02'], ['22003'], ['23505'], ['23503'], ['23514']])('is to shrink after %s', (code) =>
    expect(withCode(code)).toBe('shrink'),
  );

  it.each([['42P01'], ['42703'], ['42501'], ['3D000'], ['3F000'], ['28P01'], ['28000'], ['0A000']])(
    'is to stop after %s',
    (code) => expect(withCode(code)).toBe('stop'),
  );

  it('is to shrink after what author code threw, whatever it says', () => {
    expect(judge({ message: 'timeout expired', isDatabase: false })).toBe('shrink');
  });
});
