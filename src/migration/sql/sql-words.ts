/** The words of a statement, without what is in texts, quoted names and comments. */

// What may begin a text, a quoted name, a comment or white space. A `$` in the middle of a name begins nothing.
const mark = /\s|--|\/\*|(?<![\w$\u0080-\uffff])[eE]'|['"]|(?<![\w$\u0080-\uffff])\$(?:[a-z_]\w*)?\$/gi;

const rest: Readonly<Record<string, RegExp>> = {
  "'": /[^']*(?:''[^']*)*'/y,
  '"': /[^"]*(?:""[^"]*)*"/y,
  "e'": /[^'\\]*(?:(?:''|\\[\s\S])[^'\\]*)*'/y,
};

/**
 * Lower case, comments as one space, texts and quoted names empty, runs of white space as one space. What is opened
 * and not closed, which the server refuses, ends with the statement.
 */
export function normalized(sql: string): string {
  return rewritten(sql, {
    words: (words) => words.toLowerCase(),
    nothing: () => ' ',
    literal: () => "' '",
  });
}

interface Rewriting {
  readonly words: (words: string) => string;
  /** White space and comments. */
  readonly nothing: (nothing: string) => string;
  /** A text or a quoted name. */
  readonly literal: (literal: string) => string;
}

/** A statement whose parts are rewritten, each kind in its way. */
export function rewritten(sql: string, { words, nothing, literal }: Rewriting): string {
  let text = '';
  let index = 0;
  for (;;) {
    mark.lastIndex = index;
    const found = mark.exec(sql);
    const at = found?.index ?? sql.length;
    text += words(sql.slice(index, at));
    if (found === null) return text;
    const next = skipNothing(sql, at, /\s/);
    index = next > at ? next : literalEnd(sql, at, found[0]);
    text += (next > at ? nothing : literal)(sql.slice(at, index));
  }
}

function literalEnd(sql: string, at: number, opened: string): number {
  const inner = at + opened.length;
  const pattern = rest[opened.toLowerCase()];
  if (pattern === undefined) {
    const end = sql.indexOf(opened, inner);
    return end === -1 ? sql.length : end + opened.length;
  }
  pattern.lastIndex = inner;
  return pattern.test(sql) ? pattern.lastIndex : sql.length;
}

/** The index of the first character from `index` on that is neither `space` nor in a comment; comments nest. */
export function skipNothing(sql: string, from: number, space = /[\s;]/): number {
  let index = from;
  while (index < sql.length) {
    if (space.test(sql.charAt(index))) index += 1;
    else if (sql.startsWith('--', index)) index = lineEnd(sql, index);
    else if (sql.startsWith('/*', index)) index = commentEnd(sql, index);
    else break;
  }
  return index;
}

function lineEnd(sql: string, from: number): number {
  const ends = /[\r\n]/g;
  ends.lastIndex = from;
  return ends.exec(sql)?.index ?? sql.length;
}

function commentEnd(sql: string, from: number): number {
  const marks = /\/\*|\*\//g;
  marks.lastIndex = from;
  let depth = 0;
  for (let mark = marks.exec(sql); mark !== null; mark = marks.exec(sql)) {
    depth += mark[0] === '/*' ? 1 : -1;
    if (depth === 0) return marks.lastIndex;
  }
  return sql.length;
}

/** The words outside of all parentheses, each group of which becomes `()`: the clauses of the statement itself. */
export function outermost(sql: string): string {
  let text = '';
  let depth = 0;
  for (const char of normalized(sql)) {
    if (char === ')') depth = Math.max(0, depth - 1);
    if (depth === 0) text += char;
    if (char === '(') depth += 1;
  }
  return text.replaceAll(/\s+/g, ' ').trim();
}
