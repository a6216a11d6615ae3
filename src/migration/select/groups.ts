import type { Knex } from 'knex';
import { type BuilderParts, type KnexStatement, isRaw, rawLike } from '../sql/knex-private.ts';

/** By what a query of one table groups its rows: a group is then what a row is to any other select. */
export interface Grouping {
  /** Columns of the table. */
  readonly columns: readonly string[];
  /** What is written in SQL: each is one expression, or several with commas. */
  readonly expressions: readonly Knex.Raw[];
  /** Columns that a condition says to be not null. */
  readonly notNull: readonly string[];
  /** Conditions in SQL, of which one may say so of an expression. */
  readonly conditions: readonly Knex.Raw[];
  /** Which row is the first of its group follows from the order. */
  readonly isOrdered: boolean;
}

/**
 * The grouping of a query: `group by`, `distinct` or `distinct on`, by columns of its one table, or expressions over
 * them. Null where it has none, or another one.
 */
export function groupingOf(inner: BuilderParts): Grouping | null {
  const { statements } = inner;
  if (statements.some(({ grouping }) => ['join', 'with', 'union'].includes(grouping))) return null;
  const columns = statements.filter(({ grouping }) => grouping === 'columns');
  const distinct = columns.filter((one) => one.distinct === true);
  const first = columns.filter((one) => one.distinctOn === true);
  const groups = statements.filter(({ grouping }) => grouping === 'group');
  const [by, ...others] = [distinct, first, groups].filter(({ length }) => length > 0);
  // What is selected besides is part of what is distinct.
  if (by === undefined || others.length > 0 || (by === distinct && columns.length > 1)) return null;
  const all = by.flatMap(({ value }) => [value].flat());
  const names = all.filter((one) => !isRaw(one)).map((one) => columnOf(inner, one));
  if (all.length === 0 || !names.every((name) => name !== null)) return null;
  return {
    columns: [...new Set(names)],
    expressions: all
      .filter(isRaw)
      .map((raw) => rawLike(raw, (sql) => sql.replace(/\s+as\s+(?:"[^"]+"|\w+)\s*$/i, ''))),
    ...notNullOf(inner, statements),
    isOrdered: by === first,
  };
}

function columnOf(inner: BuilderParts, given: unknown): string | null {
  if (typeof given !== 'string') return null;
  const name = given
    .replace(/ as .*$/i, '')
    .split('.')
    .at(-1)
    ?.trim();
  return name === undefined || name === '*' ? null : inner.named(name);
}

function notNullOf(
  inner: BuilderParts,
  statements: readonly KnexStatement[],
): Pick<Grouping, 'notNull' | 'conditions'> {
  const wheres = statements.filter(({ grouping }) => grouping === 'where');
  if (wheres.some(({ bool }) => bool !== 'and')) return { notNull: [], conditions: [] };
  const given = wheres.filter(({ type, not }) => type === 'whereNull' && not === true);
  const inSql = given.map(({ column }) => column).filter(isRaw);
  const whole = wheres.filter(({ type }) => type === 'whereRaw').map(({ value }) => value);
  return {
    notNull: given.flatMap(({ column }) => columnOf(inner, column) ?? []),
    conditions: [
      ...inSql.map((raw) => rawLike(raw, (sql) => `(${sql}) is not null`)),
      ...whole.filter(isRaw),
    ],
  };
}
