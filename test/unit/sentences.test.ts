import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAst } from 'vitest/node';

/**
 * Words that read well to whoever wrote them and have to be decoded at 3 a.m.: each has an everyday word, which people
 * also search for. The list is what was found in these texts before, not a dictionary.
 */
const banned: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/\bmend(?:s|ed|ing)?\b/i, 'fix'],
  [/\b(?:go(?:es|ing)?|went) on\b/i, 'resume, continue'],
  [
    /\bt(?:ak(?:e|es|en|ing)|ook) (?:it|them|this|back|what [\w ]+) ?back\b|\bt(?:ak(?:e|es|en)|ook) back\b/i,
    'roll back',
  ],
  [/\b(?:giv(?:e|es|ing)|gave) (?:it|them|a \w+) up\b|\b(?:is|are) given up\b/i, 'abandon, abort'],
  [/\bt(?:ak(?:e|es|en|ing)|ook) (?:it |them )?up\b(?! to)/i, 'join, claim, resume'],
  [/\b(?:is|are|and) said\b/i, 'is reported'],
  [/\b(?:is|are|be) met\b|\bmet (?:twice|once)\b/i, 'is processed'],
  [/\bdo(?:es)? not do\b|\bis no help\b/i, 'cannot be used'],
  [/\blets? nobody\b/i, 'cannot log in'],
  [/\banew\b/i, 'again'],
  [/\bin vain\b/i, 'without success'],
  [/\bleft to others\b/i, 'left to other hosts'],
  [/\bcontradicts? itself\b/i, 'is inconsistent'],
  [/\bstands? (?:in|at|beside|for itself)\b/i, 'is in'],
  [/\bbeginning of\b|\bbegun\b/i, 'start, started'],
  [/\bto bear\b/i, 'survive'],
  [/\bis away\b/i, 'is unavailable'],
  [/\bone a core\b|\brows a chunk\b/i, 'one per core'],
  [/\bset aside\b|\bsets? (?:\w+ ){0,3}aside\b/i, 'quarantined'],
  [/\bmeanwhile\b(?!\.test)/i, 'in the meantime, during the run'],
  [/\bwhat is done stays\b/i, 'finished work is kept'],
  [/\bprogress is safe\b|\bnothing (?:is )?lost\b/i, 'no progress is lost'],
  [/\bby sets\b/i, 'set-based'],
  [/, with it$/i, 'up to and including'],
];

function refused(text: string): readonly string[] {
  return banned.flatMap(([pattern, instead]) => {
    const found = pattern.exec(text)?.[0];
    return found === undefined ? [] : [`"${found}": ${instead}`];
  });
}

/** What a node of a syntax tree may be. */
type Part = { readonly type?: string; readonly start: number; readonly end: number } & Record<
  string,
  unknown
>;

/** Every text of a module that has a space in it: sentences, and the SQL that nobody reads. */
function textsOf(node: unknown, found: string[] = []): readonly string[] {
  if (node === null || typeof node !== 'object') return found;
  const { type, value } = node as Part;
  if (type === 'Literal' && typeof value === 'string') found.push(value);
  if (type === 'TemplateElement') found.push((value as { readonly cooked: string }).cooked);
  for (const part of Object.values(node)) textsOf(part, found);
  return found;
}

function filesIn(folder: string, name: RegExp): readonly string[] {
  const found = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return found.filter((file) => name.test(file)).map((file) => path.join(folder, file));
}

// A comment in SQL is for whoever reads the code.
const withoutComments = (text: string) => text.replaceAll(/--.*$/gm, '');

// Behind a colon or in a text, two slashes are part of an address.
const comment = /\/\*\*(?:.|\n)*?\*\/|(?<![:'"`\w/])\/\/[^\n]*/g;

describe('every sentence that a user reads is plain English', () => {
  it.each(filesIn('src', /\.c?ts$/))('in the texts of %s', (file) => {
    const texts = textsOf(parseAst(readFileSync(file, 'utf8'), { lang: 'ts' })).filter((text) =>
      text.includes(' '),
    );
    expect(texts.flatMap((text) => refused(withoutComments(text)))).toEqual([]);
  });

  it.each(filesIn('src', /\.c?ts$/))('in the comments of %s', (file) => {
    const comments = readFileSync(file, 'utf8').match(comment) ?? [];
    expect(comments.flatMap((text) => refused(text.replaceAll(/`[^`]*`/g, '…')))).toEqual([]);
  });

  it.each([
    'README.md',
    'ARCHITECTURE.md',
    'bench/README.md',
    ...filesIn('docs', /\.md$/),
    ...filesIn('src', /\.md$/),
  ])('in %s', (file) => {
    const lines = readFileSync(file, 'utf8').split('\n');
    expect(lines.flatMap((line, at) => refused(line).map((why) => `${at + 1}: ${why}`))).toEqual([]);
  });
});
