import { didYouMean } from '../../core/values/names.ts';

/** A comment that allows what rules would report. */
export interface Allow {
  /** Of the file, from 1. */
  readonly line: number;
  readonly names: readonly string[];
  /** The names that something was reported by. */
  readonly used: Set<string>;
}

const words = String.raw`[ \t]*umzug-cluster:[ \t]*allow[ \t]+([\w-]+(?:[ \t]*,[ \t]*[\w-]+)*)`;
// A line of its own, so that no text is taken for one.
const inFile = new RegExp(String.raw`^[ \t]*//${words}`, 'gm');
const inSql = new RegExp(`--${words}`, 'g');

/** Those of a file of TypeScript or JavaScript, each on a line of its own above what it allows. */
export function allowsInFile(source: string): readonly Allow[] {
  return [...source.matchAll(inFile)].map(({ 1: names = '', index }) =>
    made(names, source.slice(0, index).split('\n').length),
  );
}

/** Those before a statement of SQL, or in it. */
export function allowsInSql(comments: string, line: number): readonly Allow[] {
  return [...comments.matchAll(inSql)].map(([, names = '']) => made(names, line));
}

function made(names: string, line: number): Allow {
  return { line, names: names.split(/[\s,]+/), used: new Set() };
}

/** Whether one of these allows what the rule reports, which is noted. */
export function isAllowed(allows: readonly Allow[], rule: string): boolean {
  const allowing = allows.filter(({ names }) => names.includes(rule));
  for (const { used } of allowing) used.add(rule);
  return allowing.length > 0;
}

/** What is wrong with comments: names that no rule has and, where all statements are known, those that allow nothing. */
export function mistakesIn(
  allows: readonly Allow[],
  known: readonly string[],
  isComplete: boolean,
): readonly {
  readonly line: number;
  readonly rule: string;
  readonly does: string;
  readonly instead: string;
}[] {
  return allows.flatMap(({ line, names, used }) =>
    names.flatMap((name) => {
      if (!known.includes(name)) {
        const does = `allows "${name}", which is no rule${didYouMean(name, known)}`;
        return [{ line, rule: 'unknown-allow', does, instead: `the rules are ${known.join(', ')}` }];
      }
      // Whether a file is in one deploy with another is known only beside a database.
      if (!isComplete || used.has(name) || name === 'contract-before-backfill') return [];
      const does = `allows ${name}, and nothing is reported there`;
      return [
        {
          line,
          rule: 'unused-allow',
          does,
          instead: 'write it on the line above the statement, or remove it',
        },
      ];
    }),
  );
}
