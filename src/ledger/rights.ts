import { placeOfLedger } from '../core/values/ledger-place.ts';
import { quote } from '../core/values/quote.ts';
import { fail } from '../errors.ts';
import type { Session } from '../postgres/session.ts';

/** Refuses a role that may not upgrade the ledger. */
export async function requireCreate(
  session: Session,
  schema: string,
  version: { readonly found: number; readonly wanted: number },
): Promise<void> {
  const { rows } = await session.query(
    `select current_user as role, pg_catalog.has_schema_privilege($1, 'create') as may`,
    [schema],
  );
  if (rows[0]?.may === true) return;
  const role = quote(String(rows[0]?.role));
  throw fail('PERMISSION', {
    message: `the ledger in schema ${quote(schema)} has version ${version.found}, and role ${role} may not upgrade it to ${version.wanted}`,
    detail: 'nothing was changed',
    hint: `run a command that writes, such as up, once as the owner of the schema; or: grant create on schema ${quote(schema)} to ${role};`,
  });
}

/**
 * The statement that creates the schema, empty where it exists. Not `create schema if not exists`: that needs the right
 * to create one even where it exists.
 */
export async function schemaToCreate(session: Session, ledger: string): Promise<string> {
  const { schema, prefix } = placeOfLedger(ledger);
  const found = await session.query(
    `select exists (select from pg_catalog.pg_namespace where nspname = $1) as exists, current_user as role,
            pg_catalog.current_database() as database,
            pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create') as may_create,
            coalesce((select pg_catalog.has_schema_privilege(oid, 'create') from pg_catalog.pg_namespace
                      where nspname = $1), true) as may_use`,
    [schema],
  );
  const row = found.rows[0] ?? {};
  const name = quote(schema);
  const role = quote(String(row.role));
  if (row.exists === true && row.may_use !== true) {
    throw fail('PERMISSION', {
      message: `role ${role} may not create the ledger in schema ${name}`,
      detail: 'nothing was changed',
      hint: `grant usage, create on schema ${name} to ${role};`,
    });
  }
  if (row.exists === true) return '';
  if (prefix !== '') {
    throw fail('CONFIG', {
      message: `there is no schema ${name} in database ${quote(String(row.database))}`,
      hint: 'create it with the tables of the tenant, or remove the target from the knexfile',
    });
  }
  if (row.may_create !== true) {
    throw fail('PERMISSION', {
      message: `role ${role} may not create the schema ${name} of the ledger`,
      detail: `it has no right to create a schema in database ${quote(String(row.database))}; nothing was changed`,
      hint: `create schema ${name} authorization ${role};`,
    });
  }
  return `create schema ${name};`;
}

/**
 * Lets each role do with the rows of `tables` what it may with those of `like`; and with those of `forWriters`, where it
 * may insert there.
 */
export async function grantAlike(
  session: Session,
  like: string,
  {
    tables,
    forWriters = [],
  }: { readonly tables: readonly string[]; readonly forWriters?: readonly string[] },
): Promise<void> {
  const { rows } = await session.query(
    `select pg_catalog.format('grant %s on %s to %s', pg_catalog.string_agg(privilege_type, ', '),
              $2::text || case when pg_catalog.bool_or(privilege_type = 'INSERT') then $3::text else '' end,
              case grantee when 0 then 'public' else grantee::regrole::text end) as sql
     from pg_catalog.pg_class, pg_catalog.aclexplode(coalesce(relacl, pg_catalog.acldefault('r', relowner)))
     where oid = $1::regclass and privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE') group by grantee`,
    [like, tables.join(', '), forWriters.map((table) => `, ${table}`).join('')],
  );
  for (const { sql } of rows) await session.query(String(sql));
}
