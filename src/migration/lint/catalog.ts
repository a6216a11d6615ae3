import { formatBytes, grouped } from '../../core/values/numbers.ts';
import { quote } from '../../core/values/quote.ts';
import { type QueryFn } from '../table/base-table.ts';
import { nameSql, relationSql } from '../table/catalog-sql.ts';
import type { LintFinding } from './finding.ts';
import type { Table } from './statement.ts';

/** The columns of a table by oid: their types, and whether a check spares SET NOT NULL to read them. */
const lintedColumnsSql = `
  select a.attname::text as name, pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
    (exists (
      select from pg_catalog.pg_constraint as o
      where o.conrelid = a.attrelid and o.contype = 'c' and o.convalidated and a.attnum = any (o.conkey)
        and pg_catalog.pg_get_constraintdef(o.oid) ~ 'IS NOT NULL'
    ))::text as given
  from pg_catalog.pg_attribute as a
  where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped`;

/** Leaves out findings that are none by the catalog, and tells of the others how large the table is here. */
export async function byCatalog(
  findings: readonly LintFinding[],
  query: QueryFn,
): Promise<readonly LintFinding[]> {
  const read = new Map<string, Promise<Described | null>>();
  const described = async (table: Table): Promise<Described | null> => {
    const written = [table.schema, table.name]
      .filter((part) => part !== null)
      .map(quote)
      .join('.');
    const known = read.get(written) ?? describe(written, query);
    read.set(written, known);
    return await known;
  };
  const looked: LintFinding[] = [];
  for (const finding of findings) {
    const about = finding.table === null ? null : await described(finding.table);
    if (about === null) looked.push(finding);
    else if (!isNone(finding, about))
      looked.push({ ...finding, needsCatalog: false, happens: withSize(finding, about) });
  }
  return looked;
}

interface Described {
  readonly rows: number;
  readonly bytes: number;
  readonly columns: readonly Readonly<Record<string, unknown>>[];
}

async function describe(written: string, query: QueryFn): Promise<Described | null> {
  const oid = (await query(nameSql, [written], 'author')).rows[0]?.['oid'];
  const [found] = oid == null ? [] : (await query(relationSql, [oid])).rows;
  if (found === undefined) return null;
  const { rows: columns } = await query(lintedColumnsSql, [oid]);
  return { rows: Number(found['rows']), bytes: Number(found['bytes']), columns };
}

function isNone({ rule, column, type, needsCatalog }: LintFinding, { columns }: Described): boolean {
  const now = columns.find(({ name }) => name === column);
  if (rule === 'set-not-null') return now?.['given'] === 'true';
  if (type === null) return false;
  if (now === undefined) return needsCatalog;
  const words = type.split(' ');
  return [words.slice(0, 1), words.slice(0, 2)].some((some) => longName(some.join(' ')) === now['type']);
}

const shortNames: Readonly<Record<string, string>> = {
  int: 'integer',
  int4: 'integer',
  int2: 'smallint',
  int8: 'bigint',
  bool: 'boolean',
  float4: 'real',
  float8: 'double precision',
};

function longName(type: string): string {
  return shortNames[type] ?? type;
}

function withSize({ happens, table }: LintFinding, { rows, bytes }: Described): string | null {
  if (rows < 0 || happens === null) return happens;
  return `${happens}; in this database ${table?.name ?? ''} has about ${grouped(rows)} rows (${formatBytes(bytes)})`;
}
