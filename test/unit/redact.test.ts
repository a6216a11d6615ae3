import { describe, expect, it } from 'vitest';
import { redact, stripControls } from '../../src/core/errors/redact.ts';
import { isLinear } from '../support/linear.ts';

describe('redact', () => {
  it.each([
    ['postgres://u:secret@h:5432/d', 'postgres://u:***@h:5432/d'],
    ['postgresql://u:se@cr#et/@h/d', 'postgresql://u:***@h/d'],
    ['at mysql://root:hunter2@db/x now', 'at mysql://root:***@db/x now'],
    ['postgres://h/d?user=u&password=secret&sslmode=x', 'postgres://h/d?user=u&password=***&sslmode=x'],
    ['postgres://shop@corp:se#cret@h:5432/d', 'postgres://shop@corp:***@h:5432/d'],
    ['postgres://shop:/se cr%et@h/d is no URL', 'postgres://shop:***@h/d is no URL'],
    ['postgres://u:secret://x@h/d', 'postgres://u:***@h/d'],
    ['postgres://:secret@h and http://h/?a@b', 'postgres://:***@b'],
    ['http://h/x postgres://u:secret@h', 'http://h/x postgres://u:***@h'],
    ['host=h password=secret dbname=d', 'host=h password=*** dbname=d'],
    ['{"password":"secret","port":1}', '{"password":***,"port":1}'],
  ])('hides the password in %s', (text, shown) => {
    expect(redact(text)).toBe(shown);
    expect(redact(text)).not.toMatch(/secret|hunter2|cr#et/);
  });

  it.each(['ab.ab.', 'a://a:', 'a@', '\u001b]', 'password="', "password = '"])(
    'reads %j in time proportional to the length of the text',
    (part) => {
      expect(isLinear(part, redact)).toBe(true);
    },
  );

  it('leaves a URL without a password as it is', () => {
    expect(redact('postgres://u@h:5432/d')).toBe('postgres://u@h:5432/d');
    expect(redact('password authentication failed for user "u"')).toContain('authentication failed');
  });
});

it.each(['ab.ab.', 'a://', 'postgres://', 'a:// ', 'a://b:c@'])(
  'takes a long record of %s in one pass: several would not end within the time of a test',
  (piece) => {
    expect(redact(`${piece.repeat(300_000)} postgres://u:secret@h`)).toMatch(/:\*\*\*@h$/);
  },
);

describe('stripControls', () => {
  it('removes escape sequences, carriage returns and direction marks, and keeps tabs and newlines', () => {
    expect(stripControls('a\u001b[2J\u001b[31mb\rc\u202ed\te\nf\u0000')).toBe('abcd\te\nf');
    expect(stripControls('a\u001b]0;title\u0007b\u001b]0;title\u001b\\c')).toBe('abc');
  });
});
