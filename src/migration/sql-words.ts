/** The words of a statement, without what stands in texts, quoted names and comments. */

/** Lower case, comments as one space, texts and quoted names empty, runs of white space as one space. */
export function normalized(sql: string): string {
  let text = '';
  let index = 0;
  while (index < sql.length) {
    const next = skipNothing(sql, index, /\s/);
    if (next > index) text += ' ';
    index = next;
    const quoted =
      /(?<!\w)[eE]'(?:[^'\\]|\\[\s\S]|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\w*)\$[\s\S]*?\$\1\$/y;
    quoted.lastIndex = index;
    const literal = quoted.exec(sql)?.[0];
    const step = literal ?? sql.charAt(index);
    text += literal === undefined ? step.toLowerCase() : "' '";
    index += Math.max(1, step.length);
  }
  return text;
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
