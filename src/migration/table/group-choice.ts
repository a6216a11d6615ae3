import type { Knex } from 'knex';
import { quote } from '../../core/values/quote.ts';
import { fail } from '../../errors.ts';
import type { BaseTable } from '../key/key.ts';
import type { Grouping } from '../select/groups.ts';
import { rawLike } from '../sql/knex-private.ts';
import { columnsSql, indexPartsSql } from './catalog-sql.ts';
import { type Column, type Named, type ReadText, indexesOf, named } from './key-choice.ts';

/** What a select groups its rows by, and how Postgres writes expressions over its table: the same what is the same. */
export interface AskedGroups extends Grouping {
  /** A fragment may be several expressions with commas. */
  readonly written: (expressions: readonly (Knex.Raw | string)[]) => Promise<readonly string[]>;
}

/** How the catalog is asked. `author`: under the author's search path. */
export interface CatalogReaders {
  readonly read: ReadText;
  readonly author: ReadText;
  readonly toColumn: (row: Readonly<Record<string, string | null>>) => Column;
}

type GroupedTable = Named & Pick<BaseTable, 'schema' | 'name'>;

/**
 * The columns by which a select groups its rows, or the expressions, in the order of an index that begins with them: by
 * that its groups are visited. Throws SELECT_REFUSED with what to do.
 */
export async function chooseGroups(
  catalog: CatalogReaders,
  table: GroupedTable,
  columns: readonly Column[],
  groups: AskedGroups,
): Promise<readonly Column[]> {
  return await (groups.expressions.length === 0
    ? chooseColumns(catalog.read, table, columns, groups)
    : chooseExpressions(catalog, table, columns, groups));
}

async function chooseColumns(
  read: ReadText,
  table: GroupedTable,
  columns: readonly Column[],
  { columns: names, notNull }: Grouping,
): Promise<readonly Column[]> {
  const wanted = names.map((name) => named(table.label, columns, name));
  const nullable = wanted.find((column) => !column.notNull && !notNull.includes(column.name));
  if (nullable !== undefined) {
    throw mayBeNull(table, quote(nullable.name), [
      `whereNotNull('${nullable.name}')`,
      `whereNull('${nullable.name}')`,
    ]);
  }
  const beginning = (await indexesOf(read, table, columns, 'any')).filter(({ columns: all }) => {
    const first = all.slice(0, wanted.length);
    return first.length === wanted.length && wanted.every((column) => first.includes(column));
  });
  const usable = beginning.find(({ defect }) => defect === null);
  if (usable !== undefined) return usable.columns.slice(0, wanted.length);
  const found = beginning.map(({ name, defect }) => `index "${name}" cannot be used: ${defect ?? ''}`);
  throw noIndex(
    table,
    wanted.map(({ name }) => quote(name)),
    found,
  );
}

/** What an index orders by: a column, or an expression. */
interface Part {
  readonly index: string;
  readonly oid: string;
  readonly no: number;
  /** 0: of an expression. */
  readonly attnum: number;
  /** In SQL for an empty search path, and for the author's. */
  readonly text: string;
  readonly inPath: string;
  readonly madeFrom: readonly string[];
}

async function chooseExpressions(
  { read, author, toColumn }: CatalogReaders,
  table: GroupedTable,
  columns: readonly Column[],
  groups: AskedGroups,
): Promise<readonly Column[]> {
  const parts = await partsOf(read, author, table);
  const { wanted, isTold, writtenAs } = await writeAll(groups, parts);
  const indexes = await indexesOf(read, table, columns, 'any');
  const beginning = indexes.flatMap(({ name, defect }) => {
    const first = parts.filter(({ index }) => index === name).slice(0, wanted.length);
    const found = first.map((part) => writtenAs(part));
    const isOne = first.length === wanted.length && wanted.every((text) => found.includes(text));
    return isOne ? [{ name, first, defect: defect ?? defectOf(first) }] : [];
  });
  const usable = beginning.find(({ defect }) => defect === null);
  if (usable === undefined) {
    const found = beginning.map(({ name, defect }) => `index "${name}" cannot be used: ${defect ?? ''}`);
    throw noIndex(table, wanted, found);
  }
  const inIndex = (await read(columnsSql, [usable.first[0]?.oid])).map(toColumn);
  return usable.first.map((part) => {
    const column = columns.find(({ attnum }) => attnum === part.attnum);
    const isNeverNull = column?.notNull === true || groups.notNull.includes(column?.name ?? '');
    if (!isNeverNull && !isTold(part)) {
      throw mayBeNull(table, part.text, [
        `whereRaw('${part.text} is not null')`,
        `whereRaw('${part.text} is null')`,
      ]);
    }
    if (column !== undefined) return column;
    return asKey(table, part, inIndex[part.no - 1]);
  });
}

/** An expression as a column of the key; `typed`: what the index says of it. */
function asKey({ label }: Named, { text, madeFrom }: Part, typed: Column | undefined): Column {
  if (typed?.operators !== undefined || typed === undefined) {
    throw fail('SELECT_REFUSED', {
      message: `select groups "${label}" by ${text}, whose type belongs to an extension`,
      detail: 'groups by an expression are compared by operators of Postgres itself',
      hint: 'cast it to a type of Postgres, in select and in the index',
    });
  }
  return { ...typed, name: text, expression: text, attnum: 0, madeFrom, notNull: true };
}

async function partsOf(read: ReadText, author: ReadText, { oid }: Named): Promise<readonly Part[]> {
  const inPath = await author(indexPartsSql, [oid]);
  return (await read(indexPartsSql, [oid])).map((row, place) => ({
    index: row['index'] ?? '',
    oid: row['oid'] ?? '',
    no: Number(row['no']),
    attnum: Number(row['attnum']),
    text: row['text'] ?? '',
    inPath: inPath[place]?.['text'] ?? '',
    madeFrom: JSON.parse(row['made_from'] ?? '[]') as string[],
  }));
}

/** What rows are grouped by and what indexes order by, as Postgres writes them: `isTold` to be not null by a condition. */
async function writeAll(groups: AskedGroups, parts: readonly Part[]) {
  const { expressions, columns, conditions } = groups;
  const known = [
    ...columns.map(quote),
    ...conditions.map((raw) => rawLike(raw, (sql) => `(${sql})`)),
    ...parts.flatMap(({ inPath, text }) => [`(${inPath})`, `(${text})`, `((${inPath}) is not null)`]),
  ];
  const all = await groups.written([...expressions, ...known]);
  const asked = all.slice(0, all.length - known.length + columns.length);
  const [told, given] = [conditions.length, asked.length + conditions.length];
  const at = (part: Part, what: number): string => all[given + parts.indexOf(part) * 3 + what] ?? '';
  return {
    wanted: [...new Set(asked)],
    isTold: (part: Part): boolean => all.slice(asked.length, asked.length + told).includes(at(part, 2)),
    // Of no use where a name means one thing in the author's search path, and another without it.
    writtenAs: (part: Part): string | null => (at(part, 0) === at(part, 1) ? at(part, 0) : null),
  };
}

function defectOf(parts: readonly Part[]): string | null {
  const isMarked = parts.some(({ text, attnum }) => attnum === 0 && /[?$]/.test(text));
  return isMarked ? 'its expression has a ? or a $, which the query builder takes for a placeholder' : null;
}

function mayBeNull({ label }: Named, what: string, [given, otherwise]: readonly [string, string]): Error {
  return fail('SELECT_REFUSED', {
    message: `select groups "${label}" by ${what}, which may be null`,
    detail: 'groups are visited by their values: rows without one would be skipped',
    hint: `add ${given}, and migrate the rows with ${otherwise} by a migration of their own`,
  });
}

function noIndex(
  { label, schema, name }: GroupedTable,
  wanted: readonly string[],
  found: readonly string[],
): Error {
  const listed = wanted.join(', ');
  return fail('SELECT_REFUSED', {
    message: `select groups "${label}" by (${listed}), and no index begins with that`,
    detail: [...found, 'without one, each chunk would read the whole table'].join('; '),
    hint: `first create one, in a schema migration with options.transaction false: create index concurrently on ${quote(schema)}.${quote(name)} (${listed})`,
  });
}
