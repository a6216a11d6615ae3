/**
 * What may be shown of an error of the server. Messages of class 22 (data exceptions) quote the value that did
 * not fit: `invalid input syntax for type integer: "…"`. So do those of a name that is looked for while a statement
 * runs, as by `nextval(?)`. Details, contexts and hints quote whole rows; they are never shown, so they need no rule.
 */
export interface ServerError {
  /** SQLSTATE. */
  readonly code: string;
  readonly message: string;
  /** The function of the server that raised it. */
  readonly routine: string | undefined;
  /** Where in the SQL text the server found it; undefined where it was not the text that was wrong. */
  readonly position?: string | undefined;
  /** The SQL text: a name that is in it is no value. */
  readonly text?: string | undefined;
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

// A table, schema, type, function or role that is not there, and a name that cannot be one.
const nameMissing = /^(42P01|3F000|42704|42883|42601|42602|42725|42939)$/;

/** The message of an error of the server without the values that it quotes. */
export function withoutValues(error: ServerError): string {
  const { code, message, routine } = error;
  if (routine === raisedByAuthor) return message;
  const isOfValue = code.startsWith('22') || (code === '42601' && valueSyntax.test(message));
  if (!isOfValue && !(nameMissing.test(code) && error.position === undefined)) return message;
  let shown = message.replace(bytes, '0x…');
  for (const [open, inside, close] of quotations) {
    shown = shown.replace(inside, (quoted) =>
      !isOfValue && isWritten(quoted.slice(1, -1), error.text) ? quoted : `${open}…${close}`,
    );
  }
  return shown;
}

/** Whether each part of a name is in the SQL text. */
function isWritten(name: string, text = ''): boolean {
  return name.split('.').every((part) => text.includes(part));
}

/** SQL text without its string literals, which may hold values that an author pasted into it. */
export function withoutLiterals(sql: string): string {
  return sql
    .replace(/\$([a-z_]\w*)?\$[\s\S]*?\$\1\$/gi, '$$…$$')
    .replace(/\be'(?:[^'\\]|\\[\s\S]|'')*'/gi, "e'…'")
    .replace(/'(?:[^']|'')*'/g, "'…'");
}
