import { describe, expect, it } from 'vitest';
import { shortageOf } from '../../src/core/errors/shortage.ts';

const named = (code: string, message = 'x', hint?: string): string | undefined =>
  shortageOf({ code, message, hint })?.what;

describe('what the server has run out of', () => {
  it.each([
    ['53100', /disk/],
    ['53200', /memory/],
    ['53300', /connection/],
    ['53400', /limit/],
  ])('is named for %s', (code, what) => expect(named(code)).toMatch(what));

  it('is locks where the hint says so, in any language', () => {
    const hint = 'Sie müssen möglicherweise »max_locks_per_transaction« erhöhen.';
    expect(named('53200', 'Shared Memory aufgebraucht', hint)).toMatch(/lock table/);
    expect(named('53200', 'x', 'You might need to increase max_pred_locks_per_transaction.')).toMatch(/lock/);
  });

  it('is connections where PgBouncer has none', () => {
    expect(named('08P01', 'no more connections allowed (max_client_conn)')).toMatch(/connection/);
    expect(named('08P01', 'server conn crashed?')).toBeUndefined();
  });

  it('is nothing otherwise', () => {
    expect(named('40P01')).toBeUndefined();
    expect(shortageOf({ code: undefined, message: 'disk full', hint: undefined })).toBeNull();
  });
});
