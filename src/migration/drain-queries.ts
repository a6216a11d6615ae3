import { rowsByKeys, setBasedRows } from './chunk-queries.ts';
import type { BaseTable } from './key.ts';
import type { Keys } from './key-list.ts';
import {
  type KeyRange,
  type Statement,
  asText,
  comparedColumns,
  oneOf,
  oneOfArray,
  quote,
  within,
} from './key-sql.ts';
import type { SelectShape } from './select-shape.ts';

/** Whether rows still match after an update, asked in its own transaction. */

/** How many of these base rows the author selects now: one row with `count`. */
export function countMatching(shape: SelectShape, base: BaseTable, keys: Keys): Statement {
  return countOf(rowsByKeys(shape, base, keys));
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

/**
 * Keeps the keys of a range of `placed` that the author selects, on the server and until the transaction ends: one row
 * with `count`. Null for a key that no array can hold.
 */
export function keepMatching(
  shape: SelectShape,
  base: BaseTable,
  placed: BaseTable,
  range: KeyRange,
): Statement | null {
  if (keptKeys(shape, base) === null) return null;
  const { alias } = shape.table;
  const column = `${comparedColumns(alias, base.key)} as key`;
  const { text, values } = setBasedRows(shape, within(alias, placed.key, range, 1), 'true', column);
  return {
    text: `with found as materialized (
        select array(select key from (${text}) as matching order by key) as keys
      )
      select pg_catalog.cardinality(keys) as count,
             pg_catalog.length(pg_catalog.set_config(${kept}, keys::pg_catalog.text, true)) as kept
      from found`,
    values,
  };
}

/** Rows whose keys are kept. The list is read once, not for each row, as a function's result might be. */
function keptKeys(shape: SelectShape, { key }: BaseTable): Statement | null {
  const list = `pg_catalog.current_setting(${kept})::${key[0]?.type ?? ''}[]`;
  const text = oneOfArray(shape.table.alias, key, `select k from pg_catalog.unnest(${list}) as k`);
  return text === null ? null : { text, values: [] };
}

/**
 * How many rows of a range, of these keys, or of those that are kept, this transaction has written and the author
 * still selects: one row with `count`. Rows that others have changed or moved meanwhile do not count: they may well match.
 */
export function countWritten(
  shape: SelectShape,
  base: BaseTable,
  among: KeyRange | Keys | 'kept',
): Statement {
  const { alias } = shape.table;
  const chosen = chosenOf(shape, base, among);
  const xmin = `${quote(alias)}.xmin`;
  // Whoever else began after this transaction is over, or its rows would not be seen: what is in progress is this
  // transaction itself, and its savepoints. The age is that of a number without its epoch, which the status needs.
  const isOwn = `case when pg_catalog.age(${xmin}) <= 0 then pg_catalog.pg_xact_status(
      (pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8 - pg_catalog.age(${xmin}))
        ::pg_catalog.text::pg_catalog.xid8) = 'in progress' end`;
  return countOf(setBasedRows(shape, chosen, isOwn));
}

function chosenOf(shape: SelectShape, base: BaseTable, among: KeyRange | Keys | 'kept'): Statement {
  const { alias } = shape.table;
  if (among === 'kept') return keptKeys(shape, base) ?? { text: 'true', values: [] };
  return 'upTo' in among ? within(alias, base.key, among, 1) : oneOf(alias, base.key, among, 1);
}

function countOf({ text, values }: Statement): Statement {
  return { text: `select pg_catalog.count(*) as count from (${text}) as found`, values };
}
