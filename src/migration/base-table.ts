import { nearest } from '../core/names.ts';
import { fail } from '../errors.ts';
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

const relationSql = `
  select c.oid::text as oid, n.nspname::text as schema, c.relname::text as name, c.relkind::text as kind,
    c.relpersistence::text as persistence,
    (c.relkind = 'r' and exists (select from pg_catalog.pg_inherits as i where i.inhparent = c.oid))::text as has_children,
    pg_catalog.has_any_column_privilege(c.oid, 'select')::text as may_select,
    (pg_catalog.has_any_column_privilege(c.oid, 'update')
      or pg_catalog.has_table_privilege(c.oid, 'delete'))::text as may_write,
    pg_catalog.current_setting('search_path') as path, current_user::text as role,
    -- with values that are stored out of line
    (select coalesce(sum(pg_catalog.pg_table_size(leaf.oid)), 0)
     from pg_catalog.pg_class as leaf
     where leaf.oid = c.oid and c.relkind = 'r'
        or c.relkind = 'p' and leaf.oid in (select relid from pg_catalog.pg_partition_tree(c.oid) where isleaf)
    )::text as bytes,
    -- the planner's own way: the density that ANALYZE saw, times the size now
    (select case when sum(p.reltuples) filter (where p.relpages > 0) is null and sum(p.size) > 0 then -1
                 else coalesce(sum(p.reltuples / p.relpages * p.size) filter (where p.relpages > 0), 0) end
     from (
       select greatest(l.reltuples, 0)::float8 as reltuples,
         case when l.reltuples < 0 then 0 else l.relpages end as relpages,
         pg_catalog.pg_relation_size(l.oid)::float8 / pg_catalog.current_setting('block_size')::float8 as size
       from pg_catalog.pg_class as l
       where l.oid = c.oid and c.relkind = 'r'
          or c.relkind = 'p' and l.relkind = 'r'
             and l.oid in (select relid from pg_catalog.pg_partition_tree(c.oid) where isleaf)
     ) as p)::text as rows
  from (select pg_catalog.to_regclass($1) as oid) as wanted
  left join pg_catalog.pg_class as c on c.oid = wanted.oid
  left join pg_catalog.pg_namespace as n on n.oid = c.relnamespace`;

const columnsSql = `
  select a.attname::text as name, a.attnum::text as attnum, a.attnotnull::text as not_null,
    n.nspname::text as type_schema, t.typname::text as type_name, operators.schema::text as operators,
    a.attcollation::text || coalesce('@' || case when a.attcollation <> 0
      then pg_catalog.pg_collation_actual_version(a.attcollation) end, '') as collation
  from pg_catalog.pg_attribute as a
  join pg_catalog.pg_type as t on t.oid = a.atttypid
  join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
  left join lateral (
    -- an extension's type (citext) is compared by operators that an empty search path does not find
    select s.nspname as schema
    from pg_catalog.pg_opclass as k
    join pg_catalog.pg_am as m on m.oid = k.opcmethod and m.amname = 'btree'
    join pg_catalog.pg_amop as o on o.amopfamily = k.opcfamily and o.amopstrategy = 5
      and o.amoplefttype = k.opcintype and o.amoprighttype = k.opcintype
    join pg_catalog.pg_operator as g on g.oid = o.amopopr
    join pg_catalog.pg_namespace as s on s.oid = g.oprnamespace and s.nspname <> 'pg_catalog'
    where k.opcdefault and k.opcintype = case when t.typtype = 'd' then t.typbasetype else t.oid end
    limit 1
  ) as operators on true
  where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped
  order by a.attnum`;

const indexesSql = `
  select c.relname::text as name, i.indisprimary::text as primary,
    (select pg_catalog.string_agg(k.attnum::text, ' ' order by k.no)
     from pg_catalog.unnest(i.indkey::int2[]) with ordinality as k (attnum, no)
     where k.no <= i.indnkeyatts) as attnums,
    case when not i.indimmediate then 'it is deferrable'
         when i.indpred is not null then 'it is partial'
         when i.indexprs is not null then 'it is over an expression'
         when not i.indisvalid then 'it is not valid'
         when exists (
           select from pg_catalog.unnest(i.indkey::int2[]) with ordinality as k (attnum, no)
           join pg_catalog.unnest(i.indcollation::oid[]) with ordinality as o (collation_oid, no) using (no)
           join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
           where k.no <= i.indnkeyatts and o.collation_oid <> a.attcollation
         ) then 'it has another collation than its column' end as defect
  from pg_catalog.pg_index as i
  join pg_catalog.pg_class as c on c.oid = i.indexrelid
  where i.indrelid = $1::oid and i.indisunique
  order by i.indisprimary desc, c.relname`;

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
