import type { Knex } from 'knex';
import { didYouMean } from '../core/names.ts';
import { fail } from '../errors.ts';
import { quote } from './key-sql.ts';
import { toPostgresText } from './values.ts';

export interface UpdateRowsColumns {
  /** Columns that identify a row. */
  readonly key: readonly string[];
  /** Columns that get a new value. */
  readonly set: readonly string[];
}

interface Column {
  readonly name: string;
  /** Base type, qualified, without typmod. */
  readonly type: string;
  /** `json`, `array` or `other`: how its values become text. */
  readonly form: 'json' | 'array' | 'other';
}

/**
 * Writes a different value to every row in one statement; returns how many rows it changed. Rows carry the
 * key and the new values. Types come from the catalog, so values are stored as a plain UPDATE would store
 * them. A new value may be null, a key may not, and undefined is refused, as is one key twice. Throws
 * MIGRATION_FAILED naming column and row number, never a value: in a transaction nothing was written. One UPDATE per row, the loop an author would write instead, took 10 to 50 times as long.
 */
export async function updateRows(
  db: Knex,
  table: string,
  rows: readonly object[],
  { key, set }: UpdateRowsColumns,
): Promise<number> {
  if (key.length === 0 || set.length === 0) {
    throw mistake(table, 'key and set must name at least one column each');
  }
  if (rows.length === 0) return 0;
  const written = table.split('.').map(quote).join('.');
  const columns = await readColumns(db, table, written, [...key, ...set]);
  const values = columns.map((column) => rows.map((row, index) => valueOf(table, row, index, column)));
  const keys = values.slice(0, key.length);
  refuseNullKeys(table, keys, key);
  refuseTwins(table, keys, rows.length);
  const alias = (index: number): string => `c${index}`;
  const names = columns.map((_column, index) => alias(index)).join(', ');
  // Text in, cast per column: an array of arrays would be flattened by unnest.
  const assignments = set.map(
    (name, index) => `${quote(name)} = v.${alias(key.length + index)}::${columns[key.length + index]?.type}`,
  );
  const matches = key.map((name, index) => `t.${quote(name)} = v.${alias(index)}::${columns[index]?.type}`);
  const sql = `update ${written} as t set ${assignments.join(', ')}
    from unnest(${columns.map(() => '?::text[]').join(', ')}) as v(${names})
    where ${matches.join(' and ')}`;
  const result: unknown = await db.raw(escapeMarks(sql), values as never);
  const changed = (result as { rowCount: number | null }).rowCount ?? 0;
  if (changed < rows.length) await refuseEqualKeys(db, table, keys, columns);
  return changed;
}

/** knex reads `?` as a binding; a quoted name may hold one. */
function escapeMarks(sql: string): string {
  return sql.replaceAll(/\?(?!::text\[\])/g, '\\?');
}

async function readColumns(
  db: Knex,
  table: string,
  written: string,
  wanted: readonly string[],
): Promise<readonly Column[]> {
  // The base type of a domain, without typmod: the assignment then checks lengths as a plain UPDATE does,
  // where an explicit cast would truncate in silence.
  const result: unknown = await db.raw(
    `with recursive kinds as (
       select a.attname, a.atttypid as oid from pg_catalog.pg_attribute as a
       where a.attrelid = pg_catalog.to_regclass(?) and a.attnum > 0 and not a.attisdropped
       union all
       select kinds.attname, t.typbasetype from kinds join pg_catalog.pg_type as t on t.oid = kinds.oid
       where t.typtype = 'd'
     )
     select kinds.attname::text as name, t.typname in ('json', 'jsonb') as is_json, t.typcategory = 'A' as is_array,
            pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.typname) as type
     from kinds
     join pg_catalog.pg_type as t on t.oid = kinds.oid
     join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
     where t.typtype <> 'd'`,
    [written],
  );
  const { rows } = result as {
    rows: { name: string; is_json: boolean; is_array: boolean; type: string }[];
  };
  if (rows.length === 0) throw mistake(table, `table "${table}" does not exist, or has no columns`);
  return wanted.map((name) => {
    const found = rows.find((row) => row.name === name);
    if (found === undefined) {
      const similar = didYouMean(
        name,
        rows.map((row) => row.name),
      );
      throw mistake(table, `"${name}" is not a column of "${table}"${similar}`);
    }
    return { name, type: found.type, form: found.is_json ? 'json' : found.is_array ? 'array' : 'other' };
  });
}

function valueOf(table: string, row: object, index: number, column: Column): string | null {
  if (typeof row !== 'object' || row === null) throw mistake(table, `row ${index + 1} is not an object`);
  const value = (row as Record<string, unknown>)[column.name];
  if (value === undefined) {
    throw mistake(table, `row ${index + 1} has no value for column "${column.name}" (undefined)`);
  }
  if (value === null) return null;
  const text = toPostgresText(value, column.form);
  if (text !== null) return text;
  throw mistake(
    table,
    `row ${index + 1} has a value that does not fit column "${column.name}" (${column.type})`,
  );
}

function refuseNullKeys(
  table: string,
  keys: readonly (readonly (string | null)[])[],
  names: readonly string[],
): void {
  for (const [column, texts] of keys.entries()) {
    const index = texts.indexOf(null);
    if (index === -1) continue;
    throw mistake(table, `row ${index + 1} has null in the key column "${names[column]}": it matches no row`);
  }
}

/** Refuses one key in two spellings, which Postgres alone can see: uuid in capitals, 1 and 01, citext. */
async function refuseEqualKeys(
  db: Knex,
  table: string,
  keys: readonly (readonly (string | null)[])[],
  columns: readonly Column[],
): Promise<void> {
  const casts = keys.map((_texts, index) => `v.c${index}::${columns[index]?.type}`).join(', ');
  const sql = `select min(v.row)::int as first, max(v.row)::int as last
    from unnest(${keys.map(() => '?::text[]').join(', ')}) with ordinality
      as v(${keys.map((_texts, index) => `c${index}`).join(', ')}, row)
    group by ${casts} having count(*) > 1 order by 2 limit 1`;
  const result: unknown = await db.raw(escapeMarks(sql), keys as never);
  const twin = (result as { rows: { first: number; last: number }[] }).rows[0];
  if (twin === undefined) return;
  throw mistake(table, `row ${twin.last} has the key of row ${twin.first}, written differently`);
}

function refuseTwins(table: string, keys: readonly (readonly (string | null)[])[], count: number): void {
  const seen = new Set<string>();
  for (let index = 0; index < count; index += 1) {
    const key = JSON.stringify(keys.map((column) => column[index]));
    if (seen.has(key)) throw mistake(table, `row ${index + 1} has the key of an earlier row`);
    seen.add(key);
  }
}

function mistake(table: string, message: string): Error {
  return fail('MIGRATION_FAILED', {
    message: `updateRows: ${message}`,
    hint: `rows of updateRows(db, '${table}', rows, { key, set }) need every column of key and set`,
  });
}
