import { skipNothing } from './sql-words.ts';

// What may hold a semicolon that ends nothing is one token as a whole.
const text = `e'[^'\\\\]*(?:(?:\\\\[\\s\\S]|'')[^'\\\\]*)*'|'[^']*'|"[^"]*"`;
const letter = 'a-z_\\u0080-\\uffff';
const dollarQuoted = `\\$([${letter}][${letter}0-9]*)?\\$[\\s\\S]*?\\$\\1\\$`;
const token = new RegExp(`--|/\\*|${text}|${dollarQuoted}|[${letter}][${letter}0-9$]*|[();]`, 'gi');

// The body of a routine that is written as SQL: BEGIN ATOMIC … END.
const makesRoutine = /^create (or replace )?(function|procedure)\b/;
const firstWords = 4;

/**
 * Cuts a text into its statements as psql does, without empty ones. Where the cut is wrong, Postgres refuses the
 * parts: what it was given is one statement each.
 */
export function statementsOf(sql: string): readonly string[] {
  const statements: string[] = [];
  let from = 0;
  let depth = 0;
  let opening = '';
  const end = (at: number): void => {
    const statement = sql.slice(from, at);
    if (skipNothing(statement, 0) < statement.length) statements.push(statement.trim());
    [from, depth, opening] = [at + 1, 0, ''];
  };
  token.lastIndex = 0;
  for (let found = token.exec(sql); found !== null; found = token.exec(sql)) {
    const word = found[0].toLowerCase();
    if (word === '--' || word === '/*') token.lastIndex = skipNothing(sql, found.index, /\s/);
    else if (word === ';' && depth === 0) end(found.index);
    else depth = Math.max(0, depth + step(word, depth, opening));
    if (/^[a-z]/.test(word) && opening.split(' ').length <= firstWords) opening += `${word} `;
  }
  end(sql.length);
  return statements;
}

/** How much deeper the rest of a statement stands: in parentheses, or in the body of a routine. */
function step(word: string, depth: number, opening: string): number {
  if (word === '(') return 1;
  if (word === ')') return -1;
  if (!makesRoutine.test(opening)) return 0;
  if (word === 'begin' || (word === 'case' && depth > 0)) return 1;
  return word === 'end' ? -1 : 0;
}
