import { describe, expect, it } from 'vitest';
import { withoutLiterals, withoutValues } from '../../src/core/errors/server-message.ts';

const shown = (code: string, message: string, routine?: string): string =>
  withoutValues({ code, message, routine, position: code === '42601' ? '1' : undefined });

describe('an error of the server', () => {
  it.each([
    [
      '22P02',
      'invalid input syntax for type integer: "secret"',
      'invalid input syntax for type integer: "…"',
    ],
    ['22P02', 'invalid input syntax for type uuid: "se"cr"et"', 'invalid input syntax for type uuid: "…"'],
    ['22P02', 'malformed array literal: "{secret\n"', 'malformed array literal: "…"'],
    [
      '22003',
      'value "secret" is out of range for type integer',
      'value "…" is out of range for type integer',
    ],
    ['22007', 'invalid value "secr" for "YYYY"', 'invalid value "…"'],
    [
      '22P02',
      'ungültige Eingabesyntax für Typ integer: »secret«',
      'ungültige Eingabesyntax für Typ integer: »…«',
    ],
    [
      '22P02',
      'ungültige Eingabesyntax für Typ integer: „secret“',
      'ungültige Eingabesyntax für Typ integer: „…“',
    ],
    ['22P02', 'syntaxe en entrée invalide : « secret »', 'syntaxe en entrée invalide : «…»'],
    [
      '22021',
      'invalid byte sequence for encoding "UTF8": 0x73 0x65',
      'invalid byte sequence for encoding "…": 0x… 0x…',
    ],
    ['42601', 'syntax error in tsquery: "secret &"', 'syntax error in tsquery: "…"'],
  ])('%s is shown without the value it quotes: %s', (code, message, expected) => {
    expect(shown(code, message)).toBe(expected);
  });

  it.each([
    ['23505', 'duplicate key value violates unique constraint "t_pkey"'],
    ['23502', 'null value in column "n" of relation "t" violates not-null constraint'],
    ['42601', 'syntax error at or near "selct"'],
    ['22012', 'division by zero'],
  ])('%s keeps its message: %s', (code, message) => {
    expect(shown(code, message)).toBe(message);
  });

  it.each([
    ['a value that is looked for as a name', 'select nextval($1)', undefined, 'relation "…" does not exist'],
    ['a name of the text', 'drop table app.secret', undefined, 'relation "app.secret" does not exist'],
    ['a name at a place of the text', 'select $1', '15', 'relation "app.secret" does not exist'],
  ])('is shown with names and without values: %s', (_what, text, position, expected) => {
    const message = 'relation "app.secret" does not exist';
    expect(withoutValues({ code: '42P01', message, routine: undefined, position, text })).toBe(expected);
  });

  it('keeps what an author raised, whatever its code', () => {
    expect(shown('22023', 'price "free" is refused', 'exec_stmt_raise')).toBe('price "free" is refused');
  });
});

describe('SQL text', () => {
  it.each([
    [`update "t" set a = 'secret''s' where "id" = $1`, `update "t" set a = '…' where "id" = $1`],
    [`select E'se\\'cret', $x$secret$x$, $$secret$$`, `select e'…', $…$, $…$`],
    ['select "it" from t where n = $1 and m = $2', 'select "it" from t where n = $1 and m = $2'],
  ])('is shown without literals: %s', (sql, expected) => {
    expect(withoutLiterals(sql)).toBe(expected);
  });
});
