import type { Knex } from 'knex';
import { type Call, GivenRows, mistake, noneFound } from './given-rows.ts';

export interface DeleteRowsColumns {
  /** Columns that identify a row. */
  readonly key: readonly string[];
  /** Rows that are not there are passed over without an error or a warning. */
  readonly allowMissing?: boolean;
}

/**
 * Deletes the rows with the given keys in one statement, whatever their number; returns how many there were. None is
 * an error, fewer than were given a warning of the run, unless `allowMissing` is set. Refuses what `updateRows`
 * refuses: a null or undefined key, one key twice, a value that does not fit its column. Rows of the migration's own
 * table need `options.allowDelete`.
 */
export async function deleteRows(
  db: Knex,
  table: string,
  rows: readonly object[],
  { key, allowMissing = false }: DeleteRowsColumns,
): Promise<number> {
  const usage = `rows of deleteRows(db, '${table}', rows, { key }) need every column of key`;
  const call: Call = { helper: 'deleteRows', db, table, rows, usage };
  if (key.length === 0) throw mistake(call, 'key must name at least one column');
  if (rows.length === 0) return 0;
  const given = await GivenRows.read(call, key, key);
  given.refuseNulls(given.columns);
  given.refuseTwins(given.columns);
  const { count } = await given.run(
    `delete from ${given.table} as t using ${given.source} where ${given.matches(given.columns)}`,
    {
      table: given.table,
      columns: null,
      finds: given.finds(given.columns, null),
      given: allowMissing ? undefined : rows.length,
    },
  );
  if (count < rows.length) await given.refuseEqualKeys(given.columns);
  if (count < rows.length && !allowMissing) given.refuseDates(given.columns);
  if (count === 0 && !allowMissing) throw noneFound('deleted', call, key);
  return count;
}
