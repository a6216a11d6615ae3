import { quote } from '../../core/values/quote.ts';
import type pgModule from 'pg';

/** All rows of all tables of a test's database, as text. */
export interface Snapshot {
  /** By name; that of the schema `public` is left out. */
  readonly tables: ReadonlyMap<string, TableRows>;
}

export interface TableRows {
  readonly columns: readonly Column[];
  /** Positions of the primary key's columns; none: the table has no primary key. */
  readonly key: readonly number[];
  readonly rows: readonly Row[];
}

export interface Column {
  readonly name: string;
  /** `table.column` that the values come from, through foreign keys, if they are generated there. */
  readonly generatedBy: string | null;
}

/** The columns' values; null as such. */
export type Row = readonly (string | null)[];

/** What takes the place of a time that the clock gave during the test: it is another one in every run. */
const now = 'now';

interface FoundTable {
  readonly schema: string;
  readonly name: string;
  readonly partitioned: boolean;
  readonly columns: readonly {
    readonly name: string;
    readonly is_time: boolean;
    readonly is_generated: boolean;
    readonly is_key: boolean;
    readonly refers_to: string | null;
  }[];
}

export interface SnapshotOptions {
  /** Schema of the ledger, which is left out. */
  readonly ledgerSchema: string;
  /** Tables and columns that are left out. */
  readonly ignore: readonly string[];
  /** When the test began, by the server's clock. */
  readonly startedAt: string;
}

/** Reads every row. */
export async function readSnapshot(client: pgModule.Client, options: SnapshotOptions): Promise<Snapshot> {
  const { ledgerSchema, ignore, startedAt } = options;
  const { rows: found } = await client.query<FoundTable>(tablesSql, [ledgerSchema]);
  const generators = generatorsOf(found);
  const tables = new Map<string, TableRows>();
  for (const table of found) {
    const name = shown(table.schema, table.name);
    if (ignore.includes(name)) continue;
    const columns = table.columns.filter((column) => !ignore.includes(`${name}.${column.name}`));
    const values = columns.map((column) => valueSql(column.name, column.is_time));
    // `only`: the rows of an inherited table are in a table of their own.
    const { rows } = await client.query<{ row: Row }>(
      `select array[${values.join(', ')}]::text[] as row
       from ${table.partitioned ? '' : 'only '}${quote(table.schema)}.${quote(table.name)}
       where $1::timestamptz is not null`,
      [startedAt],
    );
    tables.set(name, {
      columns: columns.map((column) => ({
        name: column.name,
        generatedBy: generators.get(`${name}.${column.name}`) ?? null,
      })),
      key: columns.flatMap((column, index) => (column.is_key ? [index] : [])),
      rows: rows.map(({ row }) => row),
    });
  }
  return { tables };
}

function valueSql(column: string, isTime: boolean): string {
  const value = quote(column);
  if (!isTime) return `${value}::text`;
  return `case when ${value}::timestamptz between $1::timestamptz and clock_timestamp() then '${now}'
    else ${value}::text end`;
}

/** For each column that gets generated values, by itself or through foreign keys, the column that makes them. */
function generatorsOf(tables: readonly FoundTable[]): Map<string, string> {
  const all = tables.flatMap(({ schema, name, columns }) =>
    columns.map((column) => ({ ...column, full: `${shown(schema, name)}.${column.name}` })),
  );
  const referred = new Map(all.map(({ full, refers_to: to }) => [full, to]));
  const generated = new Set(all.filter((column) => column.is_generated).map(({ full }) => full));
  const generators = new Map<string, string>();
  for (const { full } of all) {
    const seen = new Set<string>();
    let at: string | null = full;
    while (at !== null && !generated.has(at) && !seen.has(at)) {
      seen.add(at);
      at = referred.get(at) ?? null;
    }
    if (at !== null && generated.has(at)) generators.set(full, at);
  }
  return generators;
}

/** A table's name as messages and `ignore` have it. */
function shown(schema: string, name: string): string {
  return schema === 'public' ? name : `${schema}.${name}`;
}

const tablesSql = `
  select n.nspname as schema, c.relname as name, c.relkind = 'p' as partitioned,
         json_agg(json_build_object(
           'name', a.attname,
           'is_time', a.atttypid in ('timestamptz'::regtype, 'timestamp'::regtype),
           'is_generated', a.attidentity <> ''
             or coalesce(pg_get_expr(d.adbin, d.adrelid) ~ '(nextval|uuid|random)\\w*\\(', false),
           'is_key', coalesce(a.attnum = any (p.conkey), false),
           'refers_to', (
             select case when rn.nspname = 'public' then '' else rn.nspname || '.' end
                      || r.relname || '.' || ra.attname
             from pg_constraint as f
             cross join unnest(f.conkey, f.confkey) as pair(here, there)
             join pg_class as r on r.oid = f.confrelid
             join pg_namespace as rn on rn.oid = r.relnamespace
             join pg_attribute as ra on ra.attrelid = r.oid and ra.attnum = pair.there
             where f.conrelid = c.oid and f.contype = 'f' and pair.here = a.attnum
             limit 1)
         ) order by a.attnum) as columns
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
  join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef as d on d.adrelid = c.oid and d.adnum = a.attnum
  left join pg_constraint as p on p.conrelid = c.oid and p.contype = 'p'
  where c.relkind in ('r', 'p') and not c.relispartition
    and n.nspname not in ('pg_catalog', 'information_schema', $1) and n.nspname !~ '^pg_(toast|temp)'
    and not exists (select from pg_depend as e where e.objid = c.oid and e.deptype = 'e')
  group by 1, 2, 3
  order by 1, 2`;
