import { nearest } from '../core/names.ts';
import { fail } from '../errors.ts';
import type { BaseTable, KeyColumn } from './key.ts';
import { quote } from './key-sql.ts';
import type { SelectedTable } from './select-shape.ts';

/** Runs a statement of the product on the connection that plans. */
export type QueryFn = (
  text: string,
  values?: readonly unknown[],
) => Promise<{ readonly rows: Record<string, unknown>[] }>;

const refusedKinds: Readonly<Record<string, string>> = {
  v: 'a view: name the table behind it',
  m: 'a materialised view: it is refreshed, not updated',
  f: 'a foreign table: its rows cannot be locked here',
  S: 'a sequence',
  c: 'a composite type',
  t: 'a TOAST table',
  i: 'an index',
};

/**
 * Finds the table under the present search path, and the key that orders its rows. Throws SELECT_REFUSED
 * with what to do where the table has no NOT NULL, unique, immediate key.
 */
export async function resolveBaseTable(
  query: QueryFn,
  table: SelectedTable,
  wantedKey: readonly string[] | undefined,
): Promise<BaseTable> {
  const written = table.schema === null ? quote(table.name) : `${quote(table.schema)}.${quote(table.name)}`;
  const found = await query(
    `select c.oid::text as oid, n.nspname::text as schema, c.relname::text as name, c.relkind::text as kind,
            c.reltuples::float8 as rows, c.relhassubclass and c.relkind = 'r' as inherited,
            pg_catalog.current_setting('search_path') as search_path
     from (select pg_catalog.to_regclass($1) as oid) as wanted
     left join pg_catalog.pg_class as c on c.oid = wanted.oid
     left join pg_catalog.pg_namespace as n on n.oid = c.relnamespace`,
    [written],
  );
  const row = found.rows[0] ?? {};
  const label = table.schema === null ? table.name : `${table.schema}.${table.name}`;
  if (row['oid'] === null) {
    throw fail('SELECT_REFUSED', {
      message: `table "${label}" does not exist`,
      detail: `search_path is ${String(row['search_path'])}`,
      hint: 'check the name, or set searchPath in the knexfile',
    });
  }
  refuseKind(label, row);
  const oid = row['oid'] as string;
  const columns = await readColumns(query, oid);
  const key =
    wantedKey === undefined
      ? await primaryKey(query, oid, label, columns)
      : columnsOf(label, columns, wantedKey);
  if (wantedKey !== undefined) await requireUnique(query, oid, label, key);
  return {
    oid,
    schema: row['schema'] as string,
    name: row['name'] as string,
    key: key.map(({ name, type, attnum, collation }) => ({ name, type, attnum, collation })),
    estimatedRows: row['rows'] as number,
  };
}

interface Column extends KeyColumn {
  readonly notNull: boolean;
}

function refuseKind(label: string, row: Record<string, unknown>): void {
  const kind = String(row['kind']);
  const why =
    row['schema'] === 'pg_catalog' || row['schema'] === 'information_schema'
      ? 'a system catalog'
      : refusedKinds[kind];
  if (why === undefined) return;
  throw fail('SELECT_REFUSED', { message: `"${label}" cannot be migrated: it is ${why}` });
}

async function readColumns(query: QueryFn, oid: string): Promise<readonly Column[]> {
  const result = await query(
    `select a.attname::text as name, a.attnum::integer as attnum, a.attnotnull as not_null,
            pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.typname) as type,
            a.attcollation::text || coalesce(':' || pg_catalog.pg_collation_actual_version(nullif(a.attcollation, 0)), '')
              as collation
     from pg_catalog.pg_attribute as a
     join pg_catalog.pg_type as t on t.oid = a.atttypid
     join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
     where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped
     order by a.attnum`,
    [oid],
  );
  return result.rows.map((row) => ({
    name: row['name'] as string,
    attnum: row['attnum'] as number,
    notNull: row['not_null'] === true,
    type: row['type'] as string,
    collation: row['collation'] as string,
  }));
}

// What a key must be backed by: a unique index over exactly these plain columns, valid, checked at once.
const usableIndex =
  'i.indisunique and i.indimmediate and i.indisvalid and i.indpred is null and i.indexprs is null';

async function primaryKey(
  query: QueryFn,
  oid: string,
  label: string,
  columns: readonly Column[],
): Promise<readonly Column[]> {
  const result = await query(
    `select a.attname::text as name, i.indimmediate as immediate
     from pg_catalog.pg_index as i
     cross join lateral pg_catalog.unnest(i.indkey::int2[]) with ordinality as k(attnum, position)
     join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
     where i.indrelid = $1::oid and i.indisprimary and k.position <= i.indnkeyatts
     order by k.position`,
    [oid],
  );
  const names = result.rows.map((row) => row['name'] as string);
  const isImmediate = result.rows.every((row) => row['immediate'] === true);
  if (names.length > 0 && isImmediate) return columnsOf(label, columns, names);
  throw fail('SELECT_REFUSED', {
    message: `table "${label}" needs a NOT NULL unique key`,
    detail: names.length > 0 ? 'its primary key is deferrable' : 'it has no primary key',
    hint: "name one: export const options = { key: ['column'] }",
  });
}

function columnsOf(label: string, columns: readonly Column[], names: readonly string[]): readonly Column[] {
  return names.map((name) => {
    const column = columns.find((candidate) => candidate.name === name);
    if (column === undefined) {
      const all = columns.map((candidate) => candidate.name);
      const similar = nearest(name, all);
      throw fail('SELECT_REFUSED', {
        message: `key column "${name}" is not a column of "${label}"`,
        detail: `its columns: ${all.join(', ')}`,
        hint: similar === null ? undefined : `did you mean "${similar}"?`,
      });
    }
    if (column.notNull) return column;
    throw fail('SELECT_REFUSED', {
      message: `key column "${name}" of "${label}" may be null`,
      detail: 'rows with a null key would never be visited',
      hint: 'name columns that are NOT NULL and unique together',
    });
  });
}

async function requireUnique(
  query: QueryFn,
  oid: string,
  label: string,
  key: readonly Column[],
): Promise<void> {
  const wanted = key.map(({ attnum }) => attnum).sort((a, b) => a - b);
  const result = await query(
    `select pg_catalog.array_to_string((i.indkey::int2[])[0:i.indnkeyatts - 1], ',') as columns
     from pg_catalog.pg_index as i where i.indrelid = $1::oid and ${usableIndex}`,
    [oid],
  );
  const isCovered = result.rows.some((row) => {
    const found = String(row['columns'])
      .split(',')
      .map(Number)
      .sort((a, b) => a - b);
    return found.length === wanted.length && found.every((attnum, index) => attnum === wanted[index]);
  });
  if (isCovered) return;
  throw fail('SELECT_REFUSED', {
    message: `columns ${key.map(({ name }) => name).join(', ')} of "${label}" are no unique key`,
    detail: 'a unique index over exactly these columns is needed: valid, not deferrable, not partial',
    hint: 'name the primary key, or create such an index first',
  });
}
