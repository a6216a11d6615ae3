/** What is asked of Postgres's catalog about the base table; every column is text. */

/** What a written name means under the author's search path, which alone is to be in force for this. */
export const nameSql = `
  select pg_catalog.to_regclass($1)::pg_catalog.oid::pg_catalog.text as oid,
    pg_catalog.current_setting('search_path') as path`;

/** A relation by oid. */
export const relationSql = `
  select c.oid::text as oid, n.nspname::text as schema, c.relname::text as name, c.relkind::text as kind,
    c.relpersistence::text as persistence,
    (c.relkind = 'r' and exists (select from pg_catalog.pg_inherits as i where i.inhparent = c.oid))::text as has_children,
    (c.relkind = 'p' and exists (
      select from pg_catalog.pg_partition_tree(c.oid) as part
      join pg_catalog.pg_class as leaf on leaf.oid = part.relid and leaf.relkind = 'f'
    ))::text as has_foreign,
    pg_catalog.row_security_active(c.oid)::text as hides_rows,
    pg_catalog.has_any_column_privilege(c.oid, 'select')::text as may_select,
    (pg_catalog.has_any_column_privilege(c.oid, 'update')
      or pg_catalog.has_table_privilege(c.oid, 'delete'))::text as may_write,
    current_user::text as role,
    -- with values that are stored out of line
    (select coalesce(sum(pg_catalog.pg_table_size(leaf.oid)), 0)
     from pg_catalog.pg_class as leaf
     where leaf.oid = c.oid and c.relkind = 'r'
        or c.relkind = 'p' and leaf.oid in (select relid from pg_catalog.pg_partition_tree(c.oid) where isleaf)
    )::text as bytes,
    (select coalesce(sum(pg_catalog.pg_relation_size(leaf.oid)), 0)
            / pg_catalog.current_setting('block_size')::pg_catalog.int8
     from pg_catalog.pg_class as leaf
     where leaf.oid = c.oid and c.relkind = 'r'
        or c.relkind = 'p' and leaf.oid in (select relid from pg_catalog.pg_partition_tree(c.oid) where isleaf)
    )::text as blocks,
    (exists (
      select from pg_catalog.pg_class as leaf
      where leaf.reltoastrelid <> 0 and pg_catalog.pg_relation_size(leaf.reltoastrelid) > 0
        and (leaf.oid = c.oid or leaf.oid in (select relid from pg_catalog.pg_partition_tree(c.oid)))
    ))::text as has_large,
    -- the planner's own way: the density that ANALYZE saw, times the size now; but a table that a migration has
    -- just rewritten is twice its size until it is vacuumed, of which what is counted all the while knows
    (select case when sum(p.reltuples) filter (where p.relpages > 0) is null and sum(p.size) > 0 then -1
                 else coalesce(sum(least(
                   p.reltuples / p.relpages * p.size, case when p.live >= p.reltuples / 2 then p.live end
                 )) filter (where p.relpages > 0), 0) end
     from (
       select greatest(l.reltuples, 0)::float8 as reltuples,
         case when l.reltuples < 0 then 0 else l.relpages end as relpages,
         pg_catalog.pg_relation_size(l.oid)::float8 / pg_catalog.current_setting('block_size')::float8 as size,
         -- lost, and begun anew from 0, where the server has crashed; and so is the time of ANALYZE
         case when coalesce(
           pg_catalog.pg_stat_get_last_analyze_time(l.oid), pg_catalog.pg_stat_get_last_autoanalyze_time(l.oid)
         ) is not null then pg_catalog.pg_stat_get_live_tuples(l.oid)::float8 end as live
       from pg_catalog.pg_class as l
       where l.oid = c.oid and c.relkind = 'r'
          or c.relkind = 'p' and l.relkind = 'r'
             and l.oid in (select relid from pg_catalog.pg_partition_tree(c.oid) where isleaf)
     ) as p)::text as rows
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where c.oid = $1::oid`;

/** The columns of a table by oid. */
export const columnsSql = `
  with recursive kinds as (
    select a.attnum, a.atttypid as type_oid, false as is_domain
    from pg_catalog.pg_attribute as a
    where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped
    union all
    select kinds.attnum, t.typbasetype, true
    from kinds
    join pg_catalog.pg_type as t on t.oid = kinds.type_oid and t.typtype = 'd'
  )
  select a.attname::text as name, a.attnum::text as attnum,
    -- one that is declared and not validated (Postgres 18) says nothing of the rows that are there
    (a.attnotnull and not exists (
      select from pg_catalog.pg_constraint as o
      where o.conrelid = a.attrelid and o.contype = 'n' and o.conkey = array[a.attnum] and not o.convalidated
    ))::text as not_null,
    n.nspname::text as type_schema,
    -- the collation of name itself would clash with the column's
    case when t.oid = 'pg_catalog.name'::pg_catalog.regtype and not kinds.is_domain then 'text'
         else t.typname::text end as type_name,
    kinds.is_domain::text as is_domain, operators.names::text as operators,
    -- by name: a restored database gives it another oid; the default one is what the database says
    coalesce((
      select pg_catalog.format('%s(%s)%s',
        case when l.collprovider operator(pg_catalog.=) 'd' then 'default'
             else pg_catalog.format('%s.%I', l.collnamespace::pg_catalog.regnamespace::text, l.collname) end,
        case when l.collprovider operator(pg_catalog.=) 'd' then coalesce(
               pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(d), 'datlocale'),
               pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(d), 'daticulocale'), d.datcollate::text)
             else coalesce(
               pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(l), 'colllocale'),
               pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(l), 'colliculocale'), l.collcollate::text) end,
        '@' operator(pg_catalog.||) pg_catalog.pg_collation_actual_version(l.oid))
      from pg_catalog.pg_collation as l, pg_catalog.pg_database as d
      where l.oid operator(pg_catalog.=) a.attcollation
        and d.datname operator(pg_catalog.=) pg_catalog.current_database()
    ), '0') as collation,
    (select pg_catalog.json_agg(source.attname order by source.attnum)
     from pg_catalog.pg_attrdef as made
     join pg_catalog.pg_depend as d on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
       and d.objid = made.oid and d.refobjid = a.attrelid and d.refobjsubid not in (0, a.attnum)
     join pg_catalog.pg_attribute as source on source.attrelid = a.attrelid and source.attnum = d.refobjsubid
     where a.attgenerated <> '' and made.adrelid = a.attrelid and made.adnum = a.attnum)::text as made_from
  from pg_catalog.pg_attribute as a
  join kinds on kinds.attnum = a.attnum
  join pg_catalog.pg_type as t on t.oid = kinds.type_oid and t.typtype <> 'd'
  join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
  left join lateral (
    -- an extension's type (citext) is compared by operators that an empty search path does not find
    select pg_catalog.json_object_agg(
      case o.amopstrategy when 1 then '<' when 2 then '<=' when 3 then '=' when 4 then '>=' else '>' end,
      pg_catalog.quote_ident(s.nspname) || '.' || g.oprname) as names
    from pg_catalog.pg_opclass as k
    join pg_catalog.pg_am as m on m.oid = k.opcmethod and m.amname = 'btree'
    join pg_catalog.pg_amop as o on o.amopfamily = k.opcfamily and o.amopstrategy between 1 and 5
      and o.amoplefttype = k.opcintype and o.amoprighttype = k.opcintype
    join pg_catalog.pg_operator as g on g.oid = o.amopopr
    join pg_catalog.pg_namespace as s on s.oid = g.oprnamespace
    where k.opcdefault and k.opcintype = t.oid
    having pg_catalog.bool_or(s.nspname <> 'pg_catalog')
  ) as operators on true
  where a.attrelid = $1::oid
  order by a.attnum`;

/** The indexes of a table by oid: those that are unique, or any. */
export const indexesSql = `
  select c.relname::text as name, i.indisprimary::text as primary,
    (select pg_catalog.string_agg(k.attnum::text, ' ' order by k.no)
     from pg_catalog.unnest(i.indkey::int2[]) with ordinality as k (attnum, no)
     where k.no <= i.indnkeyatts) as attnums,
    case when not i.indimmediate then 'it is deferrable'
         when i.indpred is not null then 'it is partial'
         when i.indexprs is not null and not $2::boolean then 'it is over an expression'
         when not i.indisvalid then 'it is not valid'
         when m.amname <> 'btree' then 'it is no btree index, which alone has an order'
         when exists (
           select from pg_catalog.unnest(i.indkey::int2[]) with ordinality as k (attnum, no)
           join pg_catalog.unnest(i.indcollation::oid[]) with ordinality as o (collation_oid, no) using (no)
           join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
           where k.no <= i.indnkeyatts and o.collation_oid <> a.attcollation
         ) or i.indexprs is not null and (
           -- of an expression the definition says so
           select sum(cardinality(pg_catalog.string_to_array(pg_catalog.pg_get_indexdef(i.indexrelid, k.no, false), ' COLLATE ')) - 1)
           from pg_catalog.generate_series(1, i.indnkeyatts::int4) as k (no)
         ) < cardinality(pg_catalog.string_to_array(pg_catalog.pg_get_indexdef(i.indexrelid), ' COLLATE ')) - 1
         then 'it has another collation than its column'
         when exists (
           select from pg_catalog.unnest(i.indclass::oid[]) as chosen (oid)
           join pg_catalog.pg_opclass as k on k.oid = chosen.oid
           where not exists (
             select from pg_catalog.pg_opclass as usual
             where usual.opcfamily = k.opcfamily and usual.opcintype = k.opcintype and usual.opcdefault)
         ) then 'it has an operator class of its own' end as defect
  from pg_catalog.pg_index as i
  join pg_catalog.pg_class as c on c.oid = i.indexrelid
  join pg_catalog.pg_am as m on m.oid = c.relam
  where i.indrelid = $1::oid and (i.indisunique or $2::boolean)
  order by i.indisprimary desc, c.relname`;

/** Of each index of a table what it orders by, one after the other, as SQL for the search path in force. */
export const indexPartsSql = `
  select c.relname::pg_catalog.text as index, c.oid::pg_catalog.text as oid,
    k.no::pg_catalog.text as no, k.attnum::pg_catalog.text as attnum,
    pg_catalog.pg_get_indexdef(c.oid, k.no::pg_catalog.int4, false) as text,
    (select pg_catalog.json_agg(a.attname) from pg_catalog.pg_depend as d
     join pg_catalog.pg_attribute as a on a.attrelid operator(pg_catalog.=) d.refobjid
       and a.attnum operator(pg_catalog.=) d.refobjsubid
     where d.classid operator(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
       and d.objid operator(pg_catalog.=) c.oid and d.refobjid operator(pg_catalog.=) i.indrelid
    )::pg_catalog.text as made_from
  from pg_catalog.pg_index as i
  join pg_catalog.pg_class as c on c.oid operator(pg_catalog.=) i.indexrelid
  cross join lateral pg_catalog.unnest(i.indkey::pg_catalog.int2[]) with ordinality as k (attnum, no)
  where i.indrelid operator(pg_catalog.=) $1::pg_catalog.oid and k.no operator(pg_catalog.<=) i.indnkeyatts
  order by c.relname, k.no`;

/** A table by oid, with its partitions: what a plan may scan for it. Under any search path. */
export const relationsSql = `
  select n.nspname::pg_catalog.text as schema, c.relname::pg_catalog.text as name
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid operator(pg_catalog.=) c.relnamespace
  where c.oid operator(pg_catalog.=) $1::pg_catalog.oid or c.oid operator(pg_catalog.=) any (
    select relid::pg_catalog.oid from pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass))`;
