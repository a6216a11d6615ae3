import type { Knex } from 'knex';
import { fail, messageOf } from '../../errors.ts';
import { BuilderParts, type KnexStatement, isRaw } from '../sql/knex-private.ts';
import {
  type RefusedClause,
  isOrdered,
  isRefused,
  refusedAggregate,
  refusedClauses,
  refusedInWords,
} from './refused-clauses.ts';
import { type Grouping, groupingOf } from './groups.ts';
import { refuseResult } from './result.ts';
import { normalized } from '../sql/sql-words.ts';

/** How the author's query names its base table. */
export interface SelectedTable {
  readonly schema: string | null;
  readonly name: string;
  /** How the query refers to the table: its alias, or its name. */
  readonly alias: string;
  /** Without the rows of tables that inherit from it: `db('t', { only: true })`. */
  readonly only: boolean;
}

/** What the author selects, checked: a query that begins with a table, to which conditions can be added. */
export interface SelectShape {
  readonly kind: 'table';
  /** The author's query without its order. Clone it before changing it. */
  readonly builder: Knex.QueryBuilder;
  readonly table: SelectedTable;
  /** One table, no join, no CTE, no subquery: its rows can be locked and read by one statement. */
  readonly plain: boolean;
  /** Under which names the query has the key's columns; undefined: under their own. */
  readonly keyAs?: readonly string[];
  /** Its rows are groups of rows of the table. */
  readonly groups?: Grouping;
  readonly warnings: readonly string[];
}

/** A query that begins with no table by name, `db.raw(…)` for one: it is taken as it stands. */
export interface WholeSelect {
  readonly kind: 'whole';
  readonly builder: Knex.QueryBuilder | Knex.Raw;
  readonly warnings: readonly string[];
}

/** Checks what `select` returned; throws SELECT_REFUSED with advice. Runs nothing. */
export function inspectSelect(result: unknown, file: string): SelectShape | WholeSelect {
  if (isRaw(result)) {
    const sql = sqlOf(result, file);
    refuseWords(sql, file);
    return { kind: 'whole', builder: result, warnings: orderWarning(isOrdered(sql), file) };
  }
  if (!isBuilder(result)) throw refuseResult(result, file);
  const inner = new BuilderParts(result);
  refuseMethod(inner, file);
  const groups = groupingOf(inner);
  refuseClauses(inner, file, groups !== null);
  const table = baseTable(inner, file);
  const isOrderKept = groups?.isOrdered === true;
  const builder = isOrderKept ? result.clone() : result.clone().clearOrder();
  const sql = sqlOf(builder, file);
  refuseWords(sql, file, groups !== null);
  const warnings = orderWarning(
    !isOrderKept && inner.statements.some(({ grouping }) => grouping === 'order'),
    file,
  );
  if (groups !== null) {
    if (table === null || !isPlain(inner, sql)) throw clauseRefusal(file, refusedClauses.grouped);
    return { kind: 'table', builder, table, plain: false, groups, warnings };
  }
  if (table === null) return { kind: 'whole', builder, warnings };
  return { kind: 'table', builder, table, plain: isPlain(inner, sql), warnings };
}

/** True where the query names columns; without, knex selects `*`. */
export function hasColumns(builder: Knex.QueryBuilder): boolean {
  return new BuilderParts(builder).statements.some(
    ({ grouping, type, value }) =>
      grouping === 'columns' && (type !== undefined || !Array.isArray(value) || value.length > 0),
  );
}

/** A copy whose conditions are in parentheses, so that a further one is not swallowed by a top-level `or`. */
export function groupWhere(builder: Knex.QueryBuilder): Knex.QueryBuilder {
  const copy = builder.clone();
  const inner = new BuilderParts(copy);
  const wheres = inner.statements.filter(({ grouping }) => grouping === 'where');
  if (wheres.length === 0) return copy;
  inner.statements = inner.statements.filter(({ grouping }) => grouping !== 'where');
  return copy.where((group) => {
    new BuilderParts(group).statements.push(...wheres);
  });
}

function isBuilder(result: unknown): result is Knex.QueryBuilder {
  if (typeof result !== 'object' || result === null) return false;
  const { statements, single } = new BuilderParts(result);
  return Array.isArray(statements) && (single as unknown) !== undefined;
}

function refuse(file: string, message: string, hint?: string, cause?: unknown): Error {
  return fail('SELECT_REFUSED', { message: `${file}: ${message}`, hint, cause });
}

/** The refusal of a clause, wherever it was found. */
export function clauseRefusal(file: string, { what, hint }: RefusedClause): Error {
  return refuse(file, `select must not ${what}`, hint);
}

function refuseWords(sql: string, file: string, isGrouped = false): void {
  const clause = refusedInWords(sql, isGrouped);
  if (clause !== null) throw clauseRefusal(file, clause);
}

function orderWarning(ordered: boolean, file: string): readonly string[] {
  return ordered ? [`${file}: select's order by is ignored: rows come in key order`] : [];
}

function refuseMethod(inner: BuilderParts, file: string): void {
  if (inner.method === 'select') return;
  const name = inner.method === 'del' ? 'delete' : inner.method;
  if (name === 'first') throw refuse(file, 'select must not use first: chunks are cut by the tool');
  if (name === 'pluck')
    throw refuse(file, 'select must not use pluck: use select(…), update gets whole rows');
  throw refuse(file, `select must select: it is a query to ${name}`, 'write in update(db, rows)');
}

function refuseClauses({ single, statements }: BuilderParts, file: string, isGrouped: boolean): void {
  for (const clause of ['limit', 'offset'] as const) {
    if (single[clause] === undefined || single[clause] === null) continue;
    throw clauseRefusal(file, refusedClauses[clause]);
  }
  if (single['lock'] !== undefined) throw clauseRefusal(file, refusedClauses.lock);
  for (const statement of statements) {
    const clause = refusedClause(statement);
    if (clause !== null && isRefused(clause, isGrouped)) throw clauseRefusal(file, clause);
  }
}

function refusedClause(statement: KnexStatement): RefusedClause | null {
  if (statement.grouping === 'group') return refusedClauses.groupBy;
  if (statement.grouping === 'having') return refusedClauses.having;
  if (statement.grouping === 'union') return refusedClauses.union;
  if (statement.grouping === 'join') {
    return /\b(right|full)\b/i.test(joinText(statement)) ? refusedClauses.outerSide : null;
  }
  if (statement.grouping !== 'columns') return null;
  if (statement.distinct || statement.distinctOn) return refusedClauses.distinct;
  if (statement.type?.startsWith('aggregate')) return refusedAggregate(statement.method ?? 'count');
  return statement.type === 'analytic' ? refusedClauses.window : null;
}

function joinText(statement: KnexStatement): string {
  if (statement.joinType !== 'raw') return statement.joinType ?? '';
  return isRaw(statement.table) ? normalized((statement.table as unknown as { sql: string }).sql) : '';
}

/** The table that the query begins with; null where it is no table by name. */
function baseTable(inner: BuilderParts, file: string): SelectedTable | null {
  const { table: given, schema } = inner.single;
  if (given === undefined || given === null || given === '') {
    throw refuse(file, "select names no table: begin with db('table')");
  }
  const [text, alias] = tableAndAlias(given);
  if (text === null) return null;
  if (typeof schema === 'string' && typeof given !== 'string') {
    // knex 3.3 compiles it to "schema"."[object Object]".
    throw refuse(
      file,
      'knex cannot combine withSchema with a table given as an object',
      `db('${text} as ${alias ?? text}').withSchema('${schema}')`,
    );
  }
  const parts = (
    typeof schema === 'string' ? [...schema.split('.'), ...text.split('.')] : text.split('.')
  ).map((part) => inner.named(part));
  const name = parts.at(-1) ?? '';
  if (parts.length > 2) throw refuse(file, `select names its table with too many parts: ${parts.join('.')}`);
  return {
    schema: parts.length === 2 ? (parts[0] ?? null) : null,
    name,
    alias: alias === null ? name : inner.named(alias),
    only: inner.single['only'] === true,
  };
}

/** A table and its alias as they were given to knex; null for what is no table by name. */
export function tableAndAlias(given: unknown): [text: string | null, alias: string | null] {
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

function sqlOf(builder: Knex.QueryBuilder | Knex.Raw, file: string): string {
  try {
    return builder.toSQL().sql;
  } catch (error) {
    throw refuse(file, `select cannot be compiled: ${messageOf(error)}`, undefined, error);
  }
}

// A subquery reads other rows in the snapshot of the statement, which may be older than the lock.
function isPlain({ statements }: BuilderParts, sql: string): boolean {
  if (statements.some(({ grouping }) => grouping === 'join' || grouping === 'with')) return false;
  return (normalized(sql).match(/\bselect\b/g) ?? []).length === 1;
}
