/** What is asked of Postgres's catalog about the base table; every column is text. */

/** The relation under a written name: one row, of nulls where there is none. */
export const relationSql = `
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

/** The columns of a table by oid. */
export const columnsSql = `
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

/** The unique indexes of a table by oid. */
export const indexesSql = `
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

/** A table by oid, with its partitions: what a plan may scan for it. */
export const relationsSql = `
  select n.nspname::text as schema, c.relname::text as name
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where c.oid = $1::oid
     or c.oid in (select relid from pg_catalog.pg_partition_tree($1::oid::pg_catalog.regclass))`;
