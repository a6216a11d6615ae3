import type { Knex } from 'knex';
import type { BaseTable, KeyColumn } from './key.ts';
import { type KeyRange, type Statement, asText, oneOf, orderBy, quote, within } from './key-sql.ts';
import type { WholeSelect } from './select-shape.ts';

/**
 * The statements of a chunk over a select that is taken as it stands: it becomes a subquery, and the key is
 * compared by the names under which it returns it. Postgres pushes the condition down where the subquery is
 * as simple as it has to be here.
 */

type Key = readonly string[];

/** The select alone, ready to stand in parentheses. */
export function wholeText({ query }: WholeSelect): Statement {
  const { text, values } = native(query);
  return { text: inParentheses(text), values };
}

/** Its rows in a range, ready for `from`, and the names of their key. */
export function wholeInRange(
  shape: WholeSelect,
  base: BaseTable,
  range: KeyRange,
): Statement & { readonly keyAs: readonly string[] } {
  const { text, values } = wholeText(shape);
  const condition = within('matching', keyOf(shape, base), range, values.length + 1);
  return {
    text: `(${text}) as matching where ${condition.text}`,
    values: [...values, ...condition.values],
    keyAs: shape.keyAs,
  };
}

/** Its rows of exactly these base rows, in key order, with their key as text. */
export function wholeRows(
  shape: WholeSelect,
  base: BaseTable,
  keys: readonly Key[],
  keyText: string,
): Statement {
  const { text, values } = wholeText(shape);
  const key = keyOf(shape, base);
  const chosen = oneOf('s', key, keys, values.length + 1);
  return {
    text: `select s.*, ${asText('s', key)} as ${quote(keyText)}
      from (${text}) as s where ${chosen.text} order by ${orderBy('s', key)}`,
    values: [...values, ...chosen.values],
  };
}

/** The keys of its rows in a range, with `?` marks, to become part of another query. */
export function keysInRange(shape: WholeSelect, base: BaseTable, range: KeyRange): Statement {
  const key = keyOf(shape, base);
  const { sql, bindings } = shape.query.toSQL();
  const condition = within('matching', key, range, 1);
  return {
    text: `select ${escapeMarks(orderBy('matching', key))} from (${inParentheses(sql)}) as matching where ${toMarks(condition.text)}`,
    values: [...bindings, ...condition.values],
  };
}

/** Without its final semicolon, and with an end to a comment at its end. */
function inParentheses(sql: string): string {
  return `${sql.replace(/[;\s]+$/, '')}\n`;
}

/** The key's columns as the select names them. */
function keyOf({ keyAs }: WholeSelect, base: BaseTable): readonly KeyColumn[] {
  return base.key.map((column, index) => ({ ...column, name: keyAs[index] ?? column.name }));
}

/** A query as pg takes it, with `$1` placeholders. */
export function native(query: Knex.QueryBuilder | Knex.Raw): Statement {
  const { sql, bindings } = query.toSQL().toNative();
  return { text: sql, values: bindings };
}

/** `$1` becomes knex's `?`, outside of quoted names; a `?` in a name is escaped. */
export function toMarks(text: string): string {
  return text.replace(/"(?:[^"]|"")*"|\$\d+/g, (part) => (part.startsWith('"') ? escapeMarks(part) : '?'));
}

/** A `?` that knex does not take for a binding. */
export function escapeMarks(text: string): string {
  return text.replaceAll('?', '\\?');
}
