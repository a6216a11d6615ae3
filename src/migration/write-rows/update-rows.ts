import { quote } from '../../core/values/quote.ts';
import type { Knex } from 'knex';
import { type Call, GivenRows, mistake, noneFound } from './given-rows.ts';

export interface UpdateRowsColumns {
  /** Columns that identify a row. */
  readonly key: readonly string[];
  /** Columns that get a new value. */
  readonly set: readonly string[];
  /** Rows that are not there are passed over without an error or a warning. */
  readonly allowMissing?: boolean;
}

/**
 * Writes a different value to every row in one statement; returns how many rows it changed. None is an error, fewer
 * than were given a warning of the run, unless `allowMissing` is set. Rows carry the
 * key and the new values, under the names that the application has for the columns. Types come from the
 * catalog, so values are stored as a plain UPDATE would store them. A new value may be null, a key may not,
 * and undefined is refused, as is one key twice: MIGRATION_FAILED names column and row number. A value that
 * does not fit its column is VALUE_REFUSED, or the error of Postgres with the column's name. No message holds
 * a value; in a transaction nothing was written. One UPDATE per row, the loop an author would write instead,
 * took 10 to 50 times as long.
 */
export async function updateRows(
  db: Knex,
  table: string,
  rows: readonly object[],
  { key, set, allowMissing = false }: UpdateRowsColumns,
): Promise<number> {
  const usage = `rows of updateRows(db, '${table}', rows, { key, set }) need every column of key and set`;
  const call: Call = { helper: 'updateRows', db, table, rows, usage };
  if (key.length === 0 || set.length === 0) {
    throw mistake(call, 'key and set must name at least one column each');
  }
  const both = key.find((name) => set.includes(name));
  if (both !== undefined) throw mistake(call, `"${both}" is in key and in set: a row has one value for it`);
  if (rows.length === 0) return 0;
  const given = await GivenRows.read(call, [...key, ...set], key);
  const keys = given.columns.slice(0, key.length);
  const changes = given.columns.slice(key.length);
  given.refuseNulls(keys);
  given.refuseTwins(keys);
  const pairs = changes.map((column) => `${quote(column.name)} = ${given.value(column)}`);
  const { count } = await given.run(
    `update ${given.table} as t set ${pairs.join(', ')}
    from ${given.source}
    where ${given.matches(keys)}`,
    {
      table: given.table,
      columns: changes.map(({ name }) => name),
      finds: given.finds(keys, changes),
      given: allowMissing ? undefined : rows.length,
    },
  );
  if (count < rows.length) await given.refuseEqualKeys(keys);
  if (count < rows.length && !allowMissing) given.refuseDates(keys);
  if (count === 0 && !allowMissing) throw noneFound('changed', call, key);
  return count;
}
