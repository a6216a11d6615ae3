import { quote } from '../../core/values/quote.ts';
import type { Session } from '../../postgres/session.ts';
import type { BaseTable } from './key.ts';

/** A column whose values are stored: none that is generated. */
export interface StoredColumn {
  readonly attnum: number;
  readonly name: string;
  /** With its modifier, qualified where it is not Postgres's own. */
  readonly type: string;
  /** The output function of its type, quoted and qualified. */
  readonly output: string;
  /** What that writes may depend on the search path. */
  readonly needsPath: boolean;
}

// A cast to text is not the type's own text: char(5) loses its blanks, and anybody may create a cast.
const sql = `
  select a.attnum::pg_catalog.int4 as attnum, a.attname::pg_catalog.text as name,
    pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
    pg_catalog.format('%I.%I', n.nspname, p.proname) as output,
    coalesce(e.proname, p.proname)::pg_catalog.text ~ '^(reg.*|record_|array_|domain_)out$' as needs_path
  from pg_catalog.pg_attribute as a
  join pg_catalog.pg_type as t on t.oid = a.atttypid
  join pg_catalog.pg_proc as p on p.oid = t.typoutput
  join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  left join pg_catalog.pg_type as k on k.oid = t.typelem and p.proname = 'array_out'
  left join pg_catalog.pg_proc as e on e.oid = k.typoutput
  where a.attrelid = $1::pg_catalog.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
  order by a.attnum`;

/** The columns of a table that hold values of their own, in their order. Under an empty search path. */
export async function readStoredColumns(
  session: Session,
  { oid }: Pick<BaseTable, 'oid'>,
): Promise<readonly StoredColumn[]> {
  const { rows } = await session.query(sql, [oid]);
  return rows.map((row) => ({
    attnum: Number(row['attnum']),
    name: String(row['name']),
    type: String(row['type']),
    output: String(row['output']),
    needsPath: row['needs_path'] === true,
  }));
}

/** The text of a value, as its type writes it; null stays null. */
export function outputText(value: string, { output }: Pick<StoredColumn, 'output'>): string {
  return `pg_catalog.textin(${output}(${value}))`;
}

/** The text of a column of `alias`. */
export function valueText(alias: string, column: StoredColumn): string {
  return outputText(`${quote(alias)}.${quote(column.name)}`, column);
}
