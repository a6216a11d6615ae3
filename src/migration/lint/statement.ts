import { rewritten } from '../sql/sql-words.ts';

/** A statement as the rules read it. */
export interface Statement {
  /** Lower case, one space between words, no comments, texts empty, and each quoted name as its number: `"0"`. */
  readonly text: string;
  /** The quoted names. */
  readonly names: readonly string[];
  readonly comments: string;
}

/** A table as a statement names it. */
export interface Table {
  /** Null: the search path decides. */
  readonly schema: string | null;
  readonly name: string;
}

/** Parts of patterns over `Statement.text`: a name, and one that may have its schema. */
export const name = String.raw`(?:"\d+"|[\w$\u0080-\uffff]+)`;
export const relation = String.raw`${name}(?:\.${name})*`;

/** Reads one statement. */
export function readStatement(sql: string): Statement {
  const names: string[] = [];
  let comments = '';
  const spaced = rewritten(sql, {
    words: (words) => words.toLowerCase().replaceAll(/[(),;]/g, ' $& '),
    nothing: (nothing) => {
      comments += nothing;
      return ' ';
    },
    literal: (quoted) =>
      quoted.startsWith('"') ? `"${names.push(quoted.slice(1, -1).replaceAll('""', '"')) - 1}"` : "''",
  });
  const text = spaced
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/ ?\. ?/g, '.')
    .replace(/[ ;]+$/, '')
    .trimStart();
  return { text, names, comments };
}

/** The name that is written: `"0"` is the first quoted one. */
export function nameOf({ names }: Statement, written: string): string {
  const quoted = /^"(\d+)"$/.exec(written);
  return quoted === null ? written : (names[Number(quoted[1])] ?? '');
}

export function tableOf(statement: Statement, written: string): Table {
  const parts = written.split('.').map((part) => nameOf(statement, part));
  return { schema: parts.at(-2) ?? null, name: parts.at(-1) ?? '' };
}

/** Whether both names may mean the same table: one without a schema is that of any. */
export function isSame(one: Table, other: Table): boolean {
  return one.name === other.name && (one.schema ?? other.schema) === (other.schema ?? one.schema);
}

/** As it is shown. */
export function shown({ schema, name: last }: Table): string {
  return schema === null ? last : `${schema}.${last}`;
}

/** The words outside of all parentheses. */
export function outside(text: string): string {
  let depth = 0;
  const words = text.split(' ').filter((word) => {
    depth += word === '(' ? 1 : 0;
    const isOutside = depth === 0;
    depth -= word === ')' ? 1 : 0;
    return isOutside;
  });
  return words.join(' ');
}

/** The parts of a list, between the commas that are in no parentheses. */
export function listed(text: string): readonly string[] {
  const parts: string[][] = [[]];
  let depth = 0;
  for (const word of text.split(' ')) {
    depth += word === '(' ? 1 : word === ')' ? -1 : 0;
    if (word === ',' && depth === 0) parts.push([]);
    else parts.at(-1)?.push(word);
  }
  return parts.map((words) => words.join(' '));
}

/** A table that a statement reads, and how it calls it. */
export interface Source {
  readonly table: Table;
  readonly alias: string;
}

const endOfFrom =
  /^(?:select|where|group|order|having|limit|offset|fetch|window|union|intersect|except|set|returning|for|values)$/;
const beginsQuery = /^(?:select|with|insert|update|delete|merge)$/;
const noAlias =
  /^(?:[(),]|on|using|join|inner|left|right|full|cross|natural|tablesample|as|where|group|order|having|limit|offset|fetch|window|union|intersect|except|set|returning|for)$/;
const cte = new RegExp(
  `(?:^with |^with recursive |, )(${name})(?: \\( [^()]* \\))? as (?:not )?(?:materialized )?\\( `,
  'g',
);

/** The tables after FROM and JOIN in any of its queries, without functions and CTEs. */
export function sourcesOf(statement: Statement): readonly Source[] {
  const { text } = statement;
  const own = new Set([...text.matchAll(cte)].map(([, written = '']) => written));
  const words = text.split(' ');
  const found: Source[] = [];
  // For each open parenthesis: whether a query is in it, its FROM is open, and a table comes next.
  const open = [{ isQuery: true, isFrom: false, isNext: false }];
  for (const [at, word] of words.entries()) {
    const place = open.at(-1) ?? { isQuery: false, isFrom: false, isNext: false };
    const next = words[at + 1] ?? '';
    if (word === '(') {
      const isQuery = beginsQuery.test(next);
      open.push({ isQuery, isFrom: place.isNext && !isQuery, isNext: place.isNext && !isQuery });
      place.isNext = false;
    } else if (word === ')') open.pop();
    else if (place.isFrom && word === ',') place.isNext = true;
    else if (endOfFrom.test(word)) place.isFrom = place.isNext = false;
    else if (
      (word === 'from' && place.isQuery && words[at - 1] !== 'distinct') ||
      (word === 'join' && place.isFrom)
    )
      place.isFrom = place.isNext = true;
    else if (place.isNext && word !== 'only' && word !== 'lateral') {
      place.isNext = false;
      if (next === '(' || own.has(word)) continue;
      const alias = next === 'as' ? words[at + 2] : noAlias.test(next) ? undefined : next;
      const table = tableOf(statement, word);
      found.push({ table, alias: alias ? nameOf(statement, alias) : table.name });
    }
  }
  return found;
}
