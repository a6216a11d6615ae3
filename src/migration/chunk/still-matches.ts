import { quote } from '../../core/values/quote.ts';
import { keyIn, rowsByKeys, setBasedRows } from './queries.ts';
import type { BaseTable } from '../key/key.ts';
import type { Keys } from '../key/list.ts';
import {
  type KeyRange,
  type Statement,
  asText,
  comparedColumns,
  oneOf,
  oneOfArray,
  oneOfQuery,
  tableName,
  within,
} from '../key/sql.ts';
import type { SelectShape } from '../select/shape.ts';

/** Whether rows still match after an update, asked in its own transaction. */

/** How many of these base rows the author selects after an update: one row with `count`. */
export function countMatching(shape: SelectShape, base: BaseTable, keys: Keys): Statement {
  return countOf(rowsByKeys(shape, base, keys, true));
}

/** The keys of a range of `placed` that the author selects, in no order: rows of `key text[]`. */
export function matchingKeys(
  shape: SelectShape,
  base: BaseTable,
  placed: BaseTable,
  range: KeyRange,
): Statement {
  const { alias } = shape.table;
  const chosen = within(alias, placed.key, range, 1);
  return setBasedRows(shape, chosen, 'true', `${asText(alias, base.key)} as key`);
}

// A setting of the transaction, which nobody else sees.
const kept = `'umzug_cluster.chunk_keys'`;

/** Keys that stay on the server until the transaction ends. */
export interface KeptKeys {
  /** Keeps them: one row with their `count`. */
  readonly keep: Statement;
  /** The rows that have them. The list is read once, not for each row, as a function's result might be. */
  readonly chosen: Statement;
}

/** The keys of a range of `placed` that the author selects, kept on the server; null where no array can hold them. */
export function keepMatching(
  shape: SelectShape,
  base: BaseTable,
  placed: BaseTable,
  range: KeyRange,
): KeptKeys | null {
  const { alias } = shape.table;
  const list = `pg_catalog.current_setting(${kept})::${base.key[0]?.type ?? ''}[]`;
  const chosen = oneOfArray(alias, base.key, `select k from pg_catalog.unnest(${list}) as k`);
  if (chosen === null) return null;
  const column = `${comparedColumns(alias, base.key)} as key`;
  const { text, values } = setBasedRows(shape, within(alias, placed.key, range, 1), 'true', column);
  const keep = `with found as materialized (
      select array(select key from (${text}) as matching order by key) as keys
    )
    select pg_catalog.cardinality(keys) as count,
           pg_catalog.length(pg_catalog.set_config(${kept}, keys::pg_catalog.text, true)) as kept
    from found`;
  return { keep: { text: keep, values }, chosen: { text: chosen, values: [] } };
}

/**
 * How many rows of a range, of these keys, or of those that are kept, this transaction has written and the author
 * still selects: one row with `count`. Rows that others have changed or moved in the meantime do not count: they may well
 * match.
 */
export function countWritten(
  shape: SelectShape,
  base: BaseTable,
  among: KeyRange | Keys | KeptKeys,
): Statement {
  const { alias } = shape.table;
  return countOf(setBasedRows(shape, chosenOf(shape, base, among), isOwnRow(alias)));
}

/**
 * How many rows this transaction has written, outside of a range or besides these keys, that the author selects: one
 * row with `count`. Null: anywhere.
 */
export function countWrittenBeside(
  shape: SelectShape,
  base: BaseTable,
  given: KeyRange | Keys | null,
): Statement {
  const all = { text: 'true', values: [] };
  const compared = comparedColumns(shape.table.alias, keyIn(shape, base));
  const { text, values } = setBasedRows(shape, all, 'true', compared);
  const first = values.length + 1;
  const chosen =
    given === null
      ? { text: 'false', values: [] }
      : 'upTo' in given
        ? within('t', base.key, given, first)
        : oneOf('t', base.key, given, first);
  const [before, behind] = oneOfQuery('t', base.key);
  return {
    text: `select pg_catalog.count(*) as count from ${tableName(base)} as t
      where ${isOwnRow('t')} and not (${chosen.text}) and ${before}${text}${behind}`,
    values: [...values, ...chosen.values],
  };
}

/** Whether this transaction has written a row. */
export function isOwnRow(alias: string): string {
  const whole = (value: number): string => `${value}::pg_catalog.int8`;
  const own = 'pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8';
  const row = `${quote(alias)}.xmin::pg_catalog.text::pg_catalog.int8`;
  const [plus, minus, modulo] = ['+', '-', '%'].map((sign) => `operator(pg_catalog.${sign})`);
  // The number of a row is without its epoch: how far it is behind this transaction's, from -2^31 on. Not by age(),
  // which keeps counting from the number that was next when it was first asked: by now it may be somebody else's.
  const ahead = `(${row} ${minus} (${own} ${modulo} ${whole(2 ** 32)})) ${plus} ${whole(2 ** 32 + 2 ** 31)}`;
  const behind = `((${ahead}) ${modulo} ${whole(2 ** 32)}) ${minus} ${whole(2 ** 31)}`;
  // Whoever else began after this transaction is over, or its rows would not be seen: what is in progress is this
  // transaction itself, and its savepoints.
  return `case when (${behind}) operator(pg_catalog.>=) ${whole(0)} then pg_catalog.pg_xact_status(
      (${own} ${plus} (${behind}))::pg_catalog.text::pg_catalog.xid8) operator(pg_catalog.=) 'in progress' end`;
}

function chosenOf(shape: SelectShape, base: BaseTable, among: KeyRange | Keys | KeptKeys): Statement {
  const { alias } = shape.table;
  if ('chosen' in among) return among.chosen;
  return 'upTo' in among ? within(alias, base.key, among, 1) : oneOf(alias, base.key, among, 1);
}

function countOf({ text, values }: Statement): Statement {
  return { text: `select pg_catalog.count(*) as count from (${text}) as found`, values };
}
