import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type pg from 'pg';

const src = path.resolve(import.meta.dirname, '../../src');

/** The names that a pattern finds in the product's code. */
function namesIn(pattern: RegExp): string {
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  const found = files.flatMap((file) =>
    [...readFileSync(path.join(src, file), 'utf8').matchAll(pattern)].map(([, name = '']) => name),
  );
  return [...new Set(found)].join(' ');
}

/**
 * Plants in schema `evil` each operator of Postgres, and each function and type that the product's code can name.
 * Whatever comes upon one of them fails, and says its name. What Postgres lets nobody make is left out.
 */
export async function plant(client: pg.Client): Promise<void> {
  await client.query('create schema evil');
  await client.query(
    `select set_config('planted.functions', $1, false), set_config('planted.types', $2, false)`,
    [namesIn(/\b([a-z_][a-z0-9_]*)\s*\(/g), namesIn(/::(?:pg_catalog\.)?([a-z_][a-z0-9_]*)/g)],
  );
  await client.query(planting);
}

const planting = `
  do $$
  declare
    one record;
    body text;
    raising text := 'begin raise exception using message = pg_catalog.format(''planted %%s in %%s'', %L, pg_catalog.left(pg_catalog.current_query(), 300)); end';
  begin
    set local check_function_bodies = off;
    for one in
      select oprname as name, oprleft::regtype as own, oprright::regtype as other, oprresult::regtype as result,
        row_number() over () as no, oprleft = 0 as is_prefix
      from pg_operator where oprnamespace = 'pg_catalog'::regnamespace
    loop
      body := format(raising, 'operator ' || one.name);
      begin
        execute format('create function evil.%I(%s) returns %s language plpgsql as %L', 'operator_' || one.no,
          case when one.is_prefix then one.other::text else one.own || ', ' || one.other end, one.result, body);
        execute format('create operator evil.%s (%s rightarg = %s, function = evil.%I)', one.name,
          case when one.is_prefix then '' else format('leftarg = %s,', one.own) end, one.other,
          'operator_' || one.no);
      exception when others then null;
      end;
    end loop;
    for one in
      select p.proname as name, pg_get_function_identity_arguments(p.oid) as args, p.prokind as kind,
        case when p.proretset then 'setof ' else '' end || format_type(p.prorettype, null) as result
      from pg_proc as p
      where p.pronamespace = 'pg_catalog'::regnamespace
        and p.proname = any (string_to_array(current_setting('planted.functions'), ' '))
    loop
      body := format(raising, 'function ' || one.name);
      begin
        if one.kind = 'a' then
          execute format('create function evil.%I(%s) returns text language plpgsql as %L', one.name || '_step',
            concat_ws(', ', 'text', nullif(one.args, '')), body);
          execute format('create aggregate evil.%I(%s) (sfunc = evil.%I, stype = text)', one.name,
            coalesce(nullif(one.args, ''), '*'), one.name || '_step');
        else
          execute format('create function evil.%I(%s) returns %s language plpgsql as %L', one.name, one.args,
            one.result, body);
        end if;
      exception when others then null;
      end;
    end loop;
    for one in
      select typname as name from pg_type
      where typnamespace = 'pg_catalog'::regnamespace
        and typname = any (string_to_array(current_setting('planted.types'), ' '))
    loop
      begin
        execute format('create domain evil.%I as pg_catalog.%I constraint %I check (value is null)', one.name,
          one.name, 'planted type ' || one.name);
      exception when others then null;
      end;
    end loop;
  end $$`;
