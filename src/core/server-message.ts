/**
 * What may be shown of an error of the server. Messages of class 22 (data exceptions) quote the value that did
 * not fit: `invalid input syntax for type integer: "…"`. Details, contexts and hints quote whole rows; they
 * are never shown, so they need no rule.
 */
export interface ServerError {
  /** SQLSTATE. */
  readonly code: string;
  readonly message: string;
  /** The function of the server that raised it. */
  readonly routine: string | undefined;
}

// RAISE in PL/pgSQL: the message is what an author wrote, whatever SQLSTATE it was given.
const raisedByAuthor = 'exec_stmt_raise';

// Greedy: the value itself may hold quotation marks. The server quotes as its language does.
const quotations: readonly [open: string, inside: RegExp, close: string][] = [
  ['"', /".*"/gs, '"'],
  ['“', /“.*”/gs, '”'],
  ['„', /„.*“/gs, '“'],
  ['«', /«.*»/gs, '»'],
  ['»', /».*«/gs, '«'],
];

// The bytes of a text that is not valid in its encoding.
const bytes = /\b0x[0-9a-f]{2}\b/gi;

// Text search and its like say of a value that its syntax is wrong, with the code of wrong SQL.
const valueSyntax =
  /syntax error in (tsquery|tsvector|ltree|lquery|ltxtquery|hstore)|of jsonpath input|no escaped character/i;

/** The message of an error of the server without the values that it quotes. */
export function withoutValues({ code, message, routine }: ServerError): string {
  if (routine === raisedByAuthor) return message;
  if (!code.startsWith('22') && !(code === '42601' && valueSyntax.test(message))) return message;
  let shown = message.replace(bytes, '0x…');
  for (const [open, inside, close] of quotations) shown = shown.replace(inside, `${open}…${close}`);
  return shown;
}

/** SQL text without its string literals, which may hold values that an author pasted into it. */
export function withoutLiterals(sql: string): string {
  return sql
    .replace(/\$([a-z_]\w*)?\$[\s\S]*?\$\1\$/gi, '$$…$$')
    .replace(/\be'(?:[^'\\]|\\[\s\S]|'')*'/gi, "e'…'")
    .replace(/'(?:[^']|'')*'/g, "'…'");
}
