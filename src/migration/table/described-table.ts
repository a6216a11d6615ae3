import { quote } from '../../core/values/quote.ts';
import { fail } from '../../errors.ts';
import { nearest } from '../../core/values/names.ts';
import { type QueryFn, resolveBaseTable } from './base-table.ts';
import { isKeyless, place } from '../key/key.ts';
import { nameSql } from './catalog-sql.ts';

/** A table as a new migration speaks of it. */
export interface DescribedTable {
  /** As it is written in a query: `properties`, or `sales.properties`. */
  readonly written: string;
  readonly columns: readonly DescribedColumn[];
  /** Columns that identify a row; `ctid`, its place, where none do. */
  readonly key: readonly string[];
  /** The key is not the primary key: the migration has to name it. */
  readonly isKeyNamed: boolean;
}

export interface DescribedColumn {
  readonly name: string;
  /** What it is in JavaScript, as TypeScript writes it. */
  readonly type: string;
  readonly isNullable: boolean;
  /** It is generated: nothing can be written to it. */
  readonly isGenerated: boolean;
}

/**
 * Looks a table up under the present search path. Throws SELECT_REFUSED where it cannot be migrated, with names
 * that are near where there is none of this name.
 */
export async function describeTable(query: QueryFn, written: string): Promise<DescribedTable> {
  const parts = written.split('.');
  const name = parts.at(-1) ?? written;
  const table = { schema: parts.length === 2 ? (parts[0] ?? null) : null, name, alias: name, only: false };
  if (parts.length > 2)
    throw fail('USAGE', { message: `"${written}" is not a table: give TABLE or SCHEMA.TABLE` });
  const oid = await oidOf(query, written, name);
  const { base, isKeyNamed } = await resolveBaseTable(query, table, undefined).then(
    (found) => ({ base: found, isKeyNamed: false }),
    async (error: unknown) => {
      const key = await otherKey(query, oid);
      if (key === null) throw error;
      return { base: await resolveBaseTable(query, table, key), isKeyNamed: true };
    },
  );
  const { rows } = await query(columnsSql, [base.oid]);
  const columns = rows.map((row) => ({
    name: String(row['name']),
    type: typeOf(row),
    isNullable: row['not_null'] !== 'true',
    isGenerated: row['generated'] === 'true',
  }));
  const key = base.key.map((column) => column.name);
  if (!isKeyless(base)) return { written, columns, key, isKeyNamed };
  const ctid = { name: place.name, type: 'string', isNullable: false, isGenerated: false };
  return { written, columns: [ctid, ...columns], key, isKeyNamed };
}

async function oidOf(query: QueryFn, written: string, name: string): Promise<string> {
  const quotedName = written.split('.').map(quote).join('.');
  const { rows: found } = await query(nameSql, [quotedName], 'author');
  const { oid } = found[0] ?? {};
  if (typeof oid === 'string') return oid;
  const { rows } = await query(
    `select c.relname::pg_catalog.text as name, pg_catalog.current_setting('search_path') as path
     from pg_catalog.pg_class as c
     where c.relkind operator(pg_catalog.=) any ('{r,p}'::pg_catalog."char"[]) and pg_catalog.pg_table_is_visible(c.oid)
       and c.relnamespace operator(pg_catalog.<>) 'pg_catalog'::pg_catalog.regnamespace::pg_catalog.oid`,
    [],
    'author',
  );
  const near = nearest(
    name,
    rows.map((row) => String(row['name'])),
  );
  throw fail('SELECT_REFUSED', {
    message: `table "${written}" does not exist`,
    detail: rows[0] === undefined ? undefined : `search_path is ${String(rows[0]['path'])}`,
    hint: near === null ? 'check its name and schema' : `did you mean "${near}"?`,
  });
}

/** The columns of a unique index that could be the key of a table without a primary key. */
async function otherKey(query: QueryFn, oid: string): Promise<readonly string[] | null> {
  const { rows } = await query(
    `select (select pg_catalog.json_agg(a.attname order by k.no)
             from pg_catalog.unnest(i.indkey::int2[]) with ordinality as k (attnum, no)
             join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
             where k.no <= i.indnkeyatts)::text as columns
     from pg_catalog.pg_index as i
     where i.indrelid = $1::oid and i.indisunique and i.indimmediate and i.indisvalid
       and i.indpred is null and i.indexprs is null
       and not exists (select from pg_catalog.pg_attribute as a
                       where a.attrelid = i.indrelid and a.attnum = any (i.indkey::int2[]) and not a.attnotnull)
     order by i.indnkeyatts, i.indexrelid
     limit 1`,
    [oid],
  );
  const columns = rows[0]?.['columns'];
  return typeof columns === 'string' ? (JSON.parse(columns) as readonly string[]) : null;
}

const columnsSql = `
  select a.attname::text as name, a.attnotnull::text as not_null, (a.attgenerated <> '')::text as generated,
    base.typname::text as type, element.typname::text as element,
    (select pg_catalog.json_agg(e.enumlabel order by e.enumsortorder)
     from pg_catalog.pg_enum as e where e.enumtypid = base.oid)::text as labels
  from pg_catalog.pg_attribute as a
  join pg_catalog.pg_type as t on t.oid = a.atttypid
  join pg_catalog.pg_type as base on base.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
  left join pg_catalog.pg_type as element on element.oid = base.typelem and base.typcategory = 'A'
  where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped
  order by a.attnum`;

// As pg gives them unless the application has set parsers of its own. A bigint is text: it may not fit a number.
const typescriptTypes: Readonly<Record<string, string>> = {
  bool: 'boolean',
  int2: 'number',
  int4: 'number',
  oid: 'number',
  float4: 'number',
  float8: 'number',
  json: 'unknown',
  jsonb: 'unknown',
  timestamp: 'Date',
  timestamptz: 'Date',
  date: 'Date',
  bytea: 'Buffer',
  interval: 'object',
  point: 'object',
  circle: 'object',
};

// A longer list of labels says less than the word string.
const mostLabels = 8;

function typeOf(row: Readonly<Record<string, unknown>>): string {
  const { type, element, labels } = row;
  if (typeof element === 'string') return `${typescriptTypes[element] ?? 'string'}[]`;
  if (typeof labels === 'string') {
    const all = JSON.parse(labels) as readonly string[];
    if (all.length <= mostLabels) return all.map(quoted).join(' | ');
  }
  return typescriptTypes[String(type)] ?? 'string';
}

/** A text as it is in a program, in single quotes. */
export function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\n', '\\n')}'`;
}
