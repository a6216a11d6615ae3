import { nearest } from '../core/names.ts';
import { fail } from '../errors.ts';
import { columnsSql, indexesSql, relationSql } from './catalog-sql.ts';
import type { BaseTable, KeyColumn } from './key.ts';
import { quote } from './key-sql.ts';
import type { SelectedTable } from './select-shape.ts';

/** Runs a statement; every column is text in the SQL, so the type parsers in force do not matter. */
export type QueryFn = (
  text: string,
  values?: readonly unknown[],
) => Promise<{ readonly rows: Record<string, unknown>[] }>;

interface Column extends KeyColumn {
  readonly notNull: boolean;
}

interface UniqueIndex {
  readonly name: string;
  readonly columns: readonly Column[];
  readonly primary: boolean;
  /** Why it cannot identify rows; null: it can. */
  readonly defect: string | null;
}

type Row = Record<string, string | null>;

const refusedKinds: Readonly<Record<string, string>> = {
  v: 'a view: select from the table behind it',
  m: 'a materialized view: it is refreshed, not updated',
  f: 'a foreign table: its rows cannot be locked here',
  S: 'a sequence',
  c: 'a composite type',
  t: 'a TOAST table',
  i: 'an index',
  I: 'an index',
};

/**
 * Finds the table under the present search path, and the key that identifies and orders its rows. Throws
 * SELECT_REFUSED or PERMISSION with what to do.
 */
export async function resolveBaseTable(
  query: QueryFn,
  table: SelectedTable,
  keyOption: readonly string[] | undefined,
): Promise<BaseTable> {
  const read = async (text: string, values: readonly unknown[]) => (await query(text, values)).rows as Row[];
  const label = [table.schema, table.name].filter((part) => part !== null).join('.');
  const written = [table.schema, table.name]
    .filter((part) => part !== null)
    .map(quote)
    .join('.');
  const [found] = await read(relationSql, [written]);
  if (found?.['oid'] == null) {
    throw refuse(
      `table "${label}" does not exist`,
      `search_path is ${found?.['path'] ?? ''}`,
      'check its name and schema',
    );
  }
  refuseRelation(label, found);
  const oid = found['oid'];
  const columns = (await read(columnsSql, [oid])).map(toColumn);
  const indexes = (await read(indexesSql, [oid])).map((row) => toIndex(row, columns));
  const key = chooseKey(label, columns, indexes, keyOption);
  refuseOperators(label, key);
  return {
    oid,
    schema: found['schema'] ?? '',
    name: found['name'] ?? '',
    key: key.map(withoutNull),
    estimatedRows: Math.round(Number(found['rows'])),
    rowBytes: Number(found['rows']) > 0 ? Number(found['bytes']) / Number(found['rows']) : 0,
  };
}

function toColumn(row: Row): Column {
  const operators = row['operators'];
  return {
    name: row['name'] ?? '',
    type: `${quote(row['type_schema'] ?? '')}.${quote(row['type_name'] ?? '')}`,
    attnum: Number(row['attnum']),
    collation: row['collation'] ?? '0',
    ...(operators == null ? {} : { operatorSchema: operators }),
    notNull: row['not_null'] === 'true',
  };
}

function toIndex(row: Row, columns: readonly Column[]): UniqueIndex {
  const attnums = (row['attnums'] ?? '').split(' ').map(Number);
  return {
    name: row['name'] ?? '',
    columns: attnums.flatMap((attnum) => columns.filter((column) => column.attnum === attnum)),
    primary: row['primary'] === 'true',
    defect: row['defect'] ?? null,
  };
}

function withoutNull(column: Column): KeyColumn {
  const { name, type, attnum, collation, operatorSchema } = column;
  return { name, type, attnum, collation, ...(operatorSchema === undefined ? {} : { operatorSchema }) };
}

function refuseRelation(label: string, row: Row): void {
  const isSystem = ['pg_catalog', 'information_schema', 'pg_toast'].includes(row['schema'] ?? '');
  const why = isSystem
    ? 'a system catalog'
    : row['persistence'] === 't'
      ? 'a temporary table: other workers do not see it'
      : refusedKinds[row['kind'] ?? ''];
  if (why !== undefined) throw refuse(`"${label}" cannot be migrated: it is ${why}`);
  if (row['has_children'] === 'true') {
    throw refuse(
      `"${label}" cannot be migrated: tables inherit from it`,
      'its key is not unique across them',
      'migrate each table by itself',
    );
  }
  if (row['may_select'] === 'true' && row['may_write'] === 'true') return;
  throw fail('PERMISSION', {
    message: `no permission to ${row['may_select'] === 'true' ? 'update' : 'select from'} "${label}"`,
    hint: `grant select, update on ${quote(row['schema'] ?? '')}.${quote(row['name'] ?? '')} to ${quote(row['role'] ?? '')}`,
  });
}

function chooseKey(
  label: string,
  columns: readonly Column[],
  indexes: readonly UniqueIndex[],
  keyOption: readonly string[] | undefined,
): readonly Column[] {
  const needs = `table "${label}" needs a NOT NULL unique key`;
  const advice = "set key: export const options = { key: ['column'] }";
  if (keyOption === undefined) {
    const primary = indexes.find((index) => index.primary);
    if (primary?.defect === null) return primary.columns;
    const found =
      primary === undefined ? 'it has no primary key' : `its primary key is no help: ${primary.defect}`;
    throw refuse(needs, found, advice);
  }
  const wanted = [...new Set(keyOption)].map((name) => named(label, columns, name));
  const nullable = wanted.filter((column) => !column.notNull).map(({ name }) => name);
  if (nullable.length > 0) {
    throw refuse(
      needs,
      `found nullable: ${nullable.join(', ')}; rows with a null key would never be visited`,
      advice,
    );
  }
  const covering = indexes.filter(
    (index) =>
      index.columns.length === wanted.length && wanted.every((column) => index.columns.includes(column)),
  );
  const usable = covering.find(({ defect }) => defect === null);
  if (usable !== undefined) return usable.columns;
  const found = covering.map(({ name, defect }) => `unique index "${name}" does not do: ${defect ?? ''}`);
  const names = wanted.map(({ name }) => name).join(', ');
  throw refuse(needs, found.join('; ') || `no unique index covers exactly (${names})`, advice);
}

function named(label: string, columns: readonly Column[], name: string): Column {
  const column = columns.find((candidate) => candidate.name === name);
  if (column !== undefined) return column;
  const all = columns.map((candidate) => candidate.name);
  const similar = nearest(name, all);
  const hint = similar === null ? undefined : `did you mean "${similar}"?`;
  throw refuse(`key column "${name}" is not a column of "${label}"`, `its columns: ${all.join(', ')}`, hint);
}

function refuseOperators(label: string, key: readonly Column[]): void {
  const schemas = new Set(key.map(({ operatorSchema }) => operatorSchema));
  if (schemas.size < 2) return;
  throw refuse(
    `the key of "${label}" mixes types of an extension with others`,
    'one row comparison cannot compare both',
    'set options.key to another unique key',
  );
}

function refuse(message: string, detail?: string, hint?: string): Error {
  return fail('SELECT_REFUSED', { message, detail, hint });
}
