import type { Knex } from 'knex';
import { fail, messageOf } from '../errors.ts';
import { type NamingClient, databaseName } from './identifier.ts';

/**
 * The only place that reads knex's private fields (`_single`, `_statements`, `_method`), which is why the
 * knex version is pinned. Inside the adapter values are unknown to TypeScript.
 */

/** How the author's query names its base table. */
export interface SelectedTable {
  readonly schema: string | null;
  readonly name: string;
  /** How the query refers to the table: its alias, or its name. */
  readonly alias: string;
}

/** What the author selects, checked. */
export interface SelectShape {
  /** The author's query without its order. Clone it before changing it. */
  readonly builder: Knex.QueryBuilder;
  readonly table: SelectedTable;
  /** One table, no join, no CTE, no subquery: its rows can be locked and read by one statement. */
  readonly plain: boolean;
  readonly warnings: readonly string[];
}

interface KnexStatement {
  readonly grouping: string;
  readonly type?: string;
  readonly value?: unknown;
  readonly method?: string;
  readonly distinct?: unknown;
  readonly distinctOn?: unknown;
  readonly joinType?: string;
  readonly table?: unknown;
}

interface PrivateBuilder {
  _single: Record<string, unknown>;
  _statements: KnexStatement[];
  _method: string;
  _queryContext?: unknown;
  client: NamingClient;
}

const cutByTool = 'chunks are cut by the tool';
const oneRowEach = 'select each row of the base table once; a CTE or a subquery may aggregate inside';

/** Checks what `select` returned; throws SELECT_REFUSED with advice. Runs nothing. */
export function inspectSelect(result: unknown, file: string): SelectShape {
  const inner = privateBuilder(result, file);
  refuseMethod(inner, file);
  refuseClauses(inner, file);
  const table = baseTable(inner, file);
  const builder = (result as Knex.QueryBuilder).clone().clearOrder();
  const sql = sqlOf(builder, file);
  const isOrdered = inner._statements.some(({ grouping }) => grouping === 'order');
  const warnings = isOrdered
    ? [`${file}: select's order by is ignored: rows come in the order of the key`]
    : [];
  return { builder, table, plain: isPlain(inner, sql), warnings };
}

/** True where the query names columns; without, knex selects `*`. */
export function hasColumns(builder: Knex.QueryBuilder): boolean {
  return statementsOf(builder).some(
    ({ grouping, type, value }) =>
      grouping === 'columns' && (type !== undefined || !Array.isArray(value) || value.length > 0),
  );
}

/** A copy whose conditions stand in parentheses, so that a further one is not swallowed by a top-level `or`. */
export function groupWhere(builder: Knex.QueryBuilder): Knex.QueryBuilder {
  const copy = builder.clone();
  const inner = copy as unknown as PrivateBuilder;
  const wheres = inner._statements.filter(({ grouping }) => grouping === 'where');
  if (wheres.length === 0) return copy;
  inner._statements = inner._statements.filter(({ grouping }) => grouping !== 'where');
  return copy.where((group) => {
    (group as unknown as PrivateBuilder)._statements.push(...wheres);
  });
}

function statementsOf(builder: Knex.QueryBuilder): readonly KnexStatement[] {
  return (builder as unknown as PrivateBuilder)._statements;
}

function refuse(file: string, message: string, hint?: string, cause?: unknown): Error {
  return fail('SELECT_REFUSED', { message: `${file}: ${message}`, hint, cause });
}

function privateBuilder(result: unknown, file: string): PrivateBuilder {
  if (result === undefined || result === null) {
    throw refuse(file, `select returned ${String(result)}; return the knex query`);
  }
  const given = result as Partial<PrivateBuilder> & { isRawInstance?: boolean; then?: unknown };
  if (typeof given === 'object' && Array.isArray(given._statements) && given._single !== undefined) {
    return given as PrivateBuilder;
  }
  if (given.isRawInstance === true) {
    const hint = "name the base table: db('table').select(…).whereRaw(…), or add the rest as a CTE";
    throw refuse(file, 'select must return a query builder, not db.raw(…)', hint);
  }
  if (typeof given.then === 'function') {
    // The rows may still arrive, or fail: nobody is to be told of it.
    void Promise.resolve(result).catch(() => undefined);
    throw refuse(
      file,
      'select must return the query, not its result: remove await',
      'an async function runs the query that it returns: remove async as well',
    );
  }
  if (Array.isArray(result)) {
    throw refuse(file, 'select must return the query, not its result: remove await');
  }
  throw refuse(file, `select returned ${describe(result)}; return the knex query`);
}

function describe(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  return typeof value === 'object' ? 'an object that is not a knex query' : `a ${typeof value}`;
}

function refuseMethod(inner: PrivateBuilder, file: string): void {
  if (inner._method === 'select') return;
  const name = inner._method === 'del' ? 'delete' : inner._method;
  if (name === 'first') throw refuse(file, 'select must not use first: ' + cutByTool);
  if (name === 'pluck')
    throw refuse(file, 'select must not use pluck: use select(…), update gets whole rows');
  throw refuse(file, `select must select: it is a query to ${name}`, 'write in update(db, rows)');
}

function refuseClauses({ _single: single, _statements: statements }: PrivateBuilder, file: string): void {
  for (const clause of ['limit', 'offset']) {
    if (single[clause] !== undefined && single[clause] !== null) {
      throw refuse(file, `select must not use ${clause}: ${cutByTool}`);
    }
  }
  if (single['lock'] !== undefined) {
    throw refuse(
      file,
      'select must not lock (forUpdate, forShare …): the rows of a chunk are locked by the tool',
    );
  }
  for (const statement of statements) {
    const what = refusedClause(statement);
    if (what !== null) throw refuse(file, `select must not use ${what}`, oneRowEach);
    if (/\b(right|full)\b/i.test(joinText(statement))) {
      const hint = 'start from the table whose rows are migrated and use leftJoin';
      throw refuse(file, 'select must not use a right or full join: its rows may lack a base row', hint);
    }
  }
}

const aggregate =
  /^\s*(count|sum|avg|min|max|every|bool_(and|or)|(array|string|jsonb?|jsonb?_object)_agg)\s*\((?!.*\bover\b)/i;

function refusedClause(statement: KnexStatement): string | null {
  if (statement.grouping === 'group') return 'group by';
  if (statement.grouping === 'having') return 'having';
  if (statement.grouping === 'union') return 'union, intersect or except';
  if (statement.grouping !== 'columns') return null;
  if (statement.distinct || statement.distinctOn) return 'distinct';
  if (statement.type?.startsWith('aggregate')) return `an aggregate (${statement.method ?? 'count'})`;
  for (const value of Array.isArray(statement.value) ? (statement.value as unknown[]) : []) {
    const text = rawText(value);
    if (/^\s*distinct\b/i.test(text)) return 'distinct';
    const [, name] = aggregate.exec(text) ?? [];
    if (name !== undefined) return `an aggregate (${name.toLowerCase()})`;
  }
  return null;
}

function joinText(statement: KnexStatement): string {
  if (statement.grouping !== 'join') return '';
  return statement.joinType === 'raw' ? rawText(statement.table) : (statement.joinType ?? '');
}

function rawText(value: unknown): string {
  const raw = value as { isRawInstance?: boolean; sql?: unknown } | null | undefined;
  return raw?.isRawInstance === true && typeof raw.sql === 'string' ? raw.sql : '';
}

function baseTable(inner: PrivateBuilder, file: string): SelectedTable {
  const { table: given, schema } = inner._single;
  if (given === undefined || given === null || given === '') {
    throw refuse(file, "select names no table: begin with db('table')");
  }
  const [text, alias] = tableAndAlias(given);
  if (text === null) {
    throw refuse(
      file,
      'select must begin with one base table by name: its rows are what is migrated',
      "db('table') or db('table as t'), with a subquery as join, CTE or whereIn; options.key names its key",
    );
  }
  if (typeof schema === 'string' && typeof given !== 'string') {
    // knex 3.3 compiles it to "schema"."[object Object]".
    throw refuse(
      file,
      'knex cannot combine withSchema with a table given as an object',
      `db('${text} as ${alias ?? text}').withSchema('${schema}')`,
    );
  }
  const unwrapped = (part: string): string => databaseName(inner.client, part, inner._queryContext);
  const parts = (
    typeof schema === 'string' ? [...schema.split('.'), ...text.split('.')] : text.split('.')
  ).map(unwrapped);
  const name = parts.at(-1) ?? '';
  if (parts.length > 2) throw refuse(file, `select names its table with too many parts: ${parts.join('.')}`);
  return {
    schema: parts.length === 2 ? (parts[0] ?? null) : null,
    name,
    alias: alias === null ? name : unwrapped(alias),
  };
}

function tableAndAlias(given: unknown): [text: string | null, alias: string | null] {
  if (typeof given === 'string') {
    const [, text, alias] = /^(.*?) as (.*)$/is.exec(given) ?? [];
    return text === undefined || alias === undefined ? [given, null] : [text, alias];
  }
  if (typeof given !== 'object' || given === null || Object.getPrototypeOf(given) !== Object.prototype) {
    return [null, null];
  }
  const [[alias, text] = [null, null], ...others] = Object.entries(given as Record<string, unknown>);
  return others.length === 0 && typeof text === 'string' ? [text, alias] : [null, null];
}

function sqlOf(builder: Knex.QueryBuilder, file: string): string {
  try {
    return builder.toSQL().sql;
  } catch (error) {
    throw refuse(file, `select cannot be compiled: ${messageOf(error)}`, undefined, error);
  }
}

// A subquery reads other rows in the snapshot of the statement, which may be older than the lock.
function isPlain({ _statements: statements }: PrivateBuilder, sql: string): boolean {
  if (statements.some(({ grouping }) => grouping === 'join' || grouping === 'with')) return false;
  const words = sql.replace(/'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\/\*[\s\S]*?\*\//g, ' ');
  return (words.match(/\bselect\b/gi) ?? []).length === 1 && !/\bover\b/i.test(words);
}
