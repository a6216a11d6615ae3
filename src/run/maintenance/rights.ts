import type { BaseTable } from '../../migration/key/key.ts';
import type { Session } from '../../postgres/session.ts';

/** Why the role may not vacuum or analyze a table, which Postgres skips with no more than a warning; null: it may. */
export async function whyNotMaintained(session: Session, { oid }: BaseTable): Promise<string | null> {
  const { rows } = await session.query(
    `select pg_catalog.pg_has_role(c.relowner, 'usage')
              or pg_catalog.pg_has_role(d.datdba, 'usage')
              or case when pg_catalog.current_setting('server_version_num')::pg_catalog.int4
                             operator(pg_catalog.>=) 170000
                      then pg_catalog.has_table_privilege(c.oid, 'maintain') else false end as may,
            current_user::pg_catalog.text as role
     from pg_catalog.pg_class as c
     join pg_catalog.pg_database as d on d.datname operator(pg_catalog.=) pg_catalog.current_database()
     where c.oid operator(pg_catalog.=) $1::pg_catalog.oid`,
    [oid],
  );
  const [row] = rows;
  if (row === undefined) return 'it is not there any more';
  if (row['may'] === true) return null;
  return `role "${String(row['role'])}" neither owns it nor has the right MAINTAIN on it`;
}

/** Does `work` while it notes what the server warns of: a table that is passed over is no error. */
export async function warnedOf(session: Session, work: () => Promise<unknown>): Promise<string | null> {
  let warning: string | null = null;
  const note = ({ message = null }: { readonly message?: string | null | undefined }): void => {
    warning ??= message;
  };
  session.client.on('notice', note);
  try {
    await work();
  } finally {
    session.client.off('notice', note);
  }
  return warning;
}
