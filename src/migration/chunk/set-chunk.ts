import { quote } from '../../core/values/quote.ts';
import type { Knex } from 'knex';
import { keyIn, native, raw, restrict } from './queries.ts';
import { type Confining, confine } from '../handle/confined.ts';
import { BuilderParts, type KnexStatement } from '../sql/knex-private.ts';
import type { BaseTable, KeyColumn } from '../key/key.ts';
import type { Keys } from '../key/list.ts';
import {
  type KeyRange,
  type Statement,
  chosen,
  comparedColumns,
  equalToChosen,
  oneOf,
  oneOfArray,
  oneOfQuery,
  orderBy,
  tableName,
  within,
} from '../key/sql.ts';
import { escapeMarksInNames } from '../sql/marks.ts';
import { type SelectShape, groupWhere, tableAndAlias } from '../select/shape.ts';

type Query = Knex.QueryBuilder;

/** The chunk as it was handed out. */
interface Start {
  readonly shape: SelectShape;
  readonly base: BaseTable;
  /** The rows of the chunk. */
  readonly rows: Statement;
  /** The author's own conditions, in parentheses; none: all rows of the table. */
  readonly where: KnexStatement | undefined;
  readonly table: readonly unknown[];
}

/**
 * The author's query on one range, with its columns and joins: to read, or ready for `.update()` or `.delete()` of its
 * base rows. The range and the author's conditions are added when it is compiled, so that nothing that is called on it
 * leads out of them. `identity`: the table with the key of its rows, where `base` orders them by something else. Instead
 * of a range: the rows with certain keys.
 */
export function setBasedChunk(
  shape: SelectShape,
  base: BaseTable,
  given: KeyRange | Keys,
  identity: BaseTable = base,
): Query {
  const query = groupWhere(shape.builder);
  const { alias } = shape.table;
  const ofRange =
    'upTo' in given
      ? within(alias, keyIn(shape, base), given, 1)
      : oneOf(alias, keyIn(shape, base), given, 1);
  const { statements, single } = new BuilderParts(query);
  const start: Start = {
    shape,
    base,
    rows: identity === base ? ofRange : inKeyOrder(shape, ofRange, keyIn(shape, identity)),
    where: statements.find(({ grouping }) => grouping === 'where'),
    table: tableOf(single),
  };
  return confine(query, (built, refuse) => compiledChunk(built, start, refuse));
}

/**
 * The rows of some blocks in the order of their keys, where that can be said. Each gets a new entry in the key's index:
 * in the order of the blocks that is another of its pages for each row. Where neither table nor index fits into the
 * cache, 1,500,000 rows with random uuid keys, 40,000 a chunk, took 18.4 and 19.6 instead of 24.5 and 26.7 s, and three
 * quarters of the WAL; in the cache, 7.0 to 8.8 instead of 7.3 to 8.2 s.
 */
function inKeyOrder(shape: SelectShape, inBlocks: Statement, key: readonly KeyColumn[]): Statement {
  const { alias } = shape.table;
  const query = restrict(groupWhere(shape.builder).clearSelect(), inBlocks);
  const keys = query.select(raw(query, comparedColumns(alias, key)));
  const { text, values } = native(keys.orderByRaw(raw(keys, orderBy(alias, key))));
  const ordered = oneOfArray(alias, key, text);
  return ordered === null ? inBlocks : { text: ordered, values };
}

const reading: ReadonlySet<string> = new Set(['select', 'first', 'pluck']);

/** What is sent for a chunk on which an author has called this and that. */
function compiledChunk(built: Query, start: Start, refuse: Parameters<Confining>[1]): Query {
  const { method, single, statements } = new BuilderParts(built);
  const isWrite = method === 'update' || method === 'del';
  if (!isWrite && !reading.has(method)) {
    throw refuse(
      `chunk.${method} must not be used: chunk is rows of the base table`,
      "insert into another table from it: db('other').insert(chunk)",
    );
  }
  if (tableOf(single).some((part, index) => part !== start.table[index])) {
    throw refuse(
      'the table of chunk must not be changed',
      "use db('other'), or the chunk as a part of its query: db('other').whereIn('id', chunk)",
    );
  }
  const rows = restrict(withWhere(built, start.where), start.rows);
  const isAlone = !statements.some(({ grouping }) => grouping === 'join' || grouping === 'with');
  return !isWrite || (start.shape.plain && isAlone) ? rows : ofBaseRows(rows, start);
}

function tableOf({ table, schema, only }: BuilderParts['single']): readonly unknown[] {
  return [table, schema, only];
}

/** A query that meets a condition, whatever has become of that among its own. */
function withWhere(built: Query, where: Start['where']): Query {
  const own = new BuilderParts(built).statements.filter(({ grouping }) => grouping === 'where');
  const added = own[0] === where ? own.slice(1) : own;
  const isKept = (where === undefined || own[0] === where) && added.every(({ bool }) => bool === 'and');
  if (isKept) return built;
  const grouped = groupWhere(built);
  if (where !== undefined) new BuilderParts(grouped).statements.push(where);
  return grouped;
}

/**
 * An update or delete of the base rows of a query that has more than its base table. A joined table that is named in
 * what it sets comes along, with the columns that it has in the query.
 */
function ofBaseRows(rows: Query, { shape, base }: Start): Query {
  const { alias } = shape.table;
  const name = shape.keyAs === undefined ? alias : base.name;
  const joined = joinedTables(rows);
  const inner = rows.clone().clearSelect();
  new BuilderParts(inner).method = 'select';
  inner.select(raw(inner, comparedColumns(alias, keyIn(shape, base))));
  const outer = new BuilderParts(rows);
  outer.statements = [];
  outer.single = { ...outer.single, table: raw(rows, `${tableName(base)} as ${quote(name)}`) };
  delete outer.single['schema'];
  delete outer.single['only'];
  const mayName = outer.method === 'update' && outer.single['updateFrom'] === undefined;
  const named = mayName ? namedIn(rows, joined) : [];
  if (named.length === 0) {
    const [before, behind] = oneOfQuery(name, base.key).map(escapeMarksInNames);
    const { sql, bindings } = inner.toSQL();
    return rows.whereRaw(`${before}${sql}${behind}`, bindings as Knex.RawBinding[]);
  }
  inner.select(named.map((table) => raw(inner, quote(table))));
  const { text, values } = native(inner);
  const keys = base.key.map((_, index) => `k${index}`);
  const tables = named.map((_, index) => `j${index}`);
  const beside = named.map(
    (table, index) => ` cross join lateral (select (${chosen}.j${index}).*) as ${quote(table)}`,
  );
  const from = `(${text}) as ${chosen} (${[...keys, ...tables].join(', ')})${beside.join('')}`;
  outer.single['updateFrom'] = raw(rows, from, values);
  return rows.whereRaw(raw(rows, equalToChosen(name, base.key)));
}

/** Under which names a query joins tables; a join that is raw text says none. */
function joinedTables(query: Query): readonly string[] {
  const parts = new BuilderParts(query);
  return parts.statements.flatMap(({ grouping, table }) => {
    if (grouping !== 'join') return [];
    const [text, given] = tableAndAlias(table);
    const subquery =
      typeof table === 'object' && table !== null
        ? (new BuilderParts(table).single as typeof parts.single | undefined)?.['as']
        : null;
    const alias = given ?? text?.split('.').at(-1) ?? (typeof subquery === 'string' ? subquery : null);
    return alias === null ? [] : [parts.named(alias)];
  });
}

/** Which of the tables the text of an update without conditions names. */
function namedIn(update: Query, tables: readonly string[]): readonly string[] {
  if (tables.length === 0) return [];
  const { sql } = update.clone().toSQL();
  return tables.filter((table) => sql.includes(`${quote(table)}.`) || word(table).test(sql));
}

// As it is written without quotes.
function word(name: string): RegExp {
  return new RegExp(`(?<![\\w"$])${name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}\\s*\\.`, 'i');
}
