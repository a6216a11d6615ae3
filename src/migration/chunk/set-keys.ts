import { quote } from '../../core/values/quote.ts';
import { keyIn, setBasedRows } from './queries.ts';
import { isOwnRow } from './still-matches.ts';
import type { BaseTable } from '../key/key.ts';
import { type KeyRange, type Statement, oneOfLists, orderBy, tableName, within } from '../key/sql.ts';
import type { SelectShape } from '../select/shape.ts';

/** What is asked about the keys of a set-based chunk, which are noted by column, as the texts of arrays. */

/** In each of these statements; none of them is the author's work. */
export const keysNoted = '__umzug_noted';

/**
 * The keys in a range that the author selects or, with `written`, that this transaction has written: one row with
 * their number `keys`, how many of them are selected more than once, `twins`, and for each column of the key an array.
 */
export function noteKeys(
  shape: SelectShape,
  { base, placed, range }: { readonly base: BaseTable; readonly placed: BaseTable; readonly range: KeyRange },
  written: boolean,
): Statement {
  const { alias } = shape.table;
  const names = base.key.map((_, index) => `k${index}`);
  const named = keyIn(shape, base).map(
    (column, index) => `${orderBy(alias, [column])} as ${names[index] ?? ''}`,
  );
  const ofRange = within(alias, keyIn(shape, placed), range, 1);
  const matching = setBasedRows(shape, ofRange, 'true', named.join(', '));
  const own = within('t', placed.key, range, matching.values.length + 1);
  const columns = base.key.map((column, index) => `${orderBy('t', [column])} as ${names[index] ?? ''}`);
  const also = written
    ? ` union all select ${columns.join(', ')}, 0 from ${tableName(base)} as t where ${own.text} and ${isOwnRow('t')}`
    : '';
  const list = names.join(', ');
  const lists = names.map(
    (name) => `pg_catalog.array_agg(${name}::pg_catalog.text)::pg_catalog.text as ${name}`,
  );
  return {
    text: `select pg_catalog.count(*) as keys,
             pg_catalog.count(*) filter (where times operator(pg_catalog.>) 1) as twins, ${lists.join(', ')}
      from (
        select ${list}, pg_catalog.sum(time) as times
        from (select ${list}, 1 as time from (${matching.text}) as matching${also}) as found
        group by ${list}
      ) as ${quote(keysNoted)}`,
    values: [...matching.values, ...(written ? own.values : [])],
  };
}

/** How many base rows have one of these keys; one row with `count`. */
export function countNoted(base: BaseTable, lists: readonly string[]): Statement {
  return countOf(base, oneOfLists(keysNoted, base.key, lists, 1));
}

/** How many rows of a range this transaction has written; one row with `count`. */
export function countOwn(base: BaseTable, range: KeyRange): Statement {
  const { text, values } = within(keysNoted, base.key, range, 1);
  return countOf(base, { text: `${text} and ${isOwnRow(keysNoted)}`, values });
}

function countOf(base: BaseTable, { text, values }: Statement): Statement {
  const from = `${tableName(base)} as ${quote(keysNoted)}`;
  return { text: `select pg_catalog.count(*) as count from ${from} where ${text}`, values };
}
