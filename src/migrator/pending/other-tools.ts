import { fail } from '../../errors.ts';
import { nameOfFile } from '../../migration/file/folder.ts';
import { quote } from '../../migration/key/sql.ts';
import type { Session } from '../../postgres/session.ts';
import { authorSearchPath, emptySearchPath } from '../../postgres/transaction.ts';

/** Where another tool records what it has executed; all of them have a column `name`. */
export const otherTools = {
  knex: 'knex_migrations',
  sequelize: 'SequelizeMeta',
  'node-pg-migrate': 'pgmigrations',
} as const;

export type OtherTool = keyof typeof otherTools;

/** A tool's own record of what is executed. */
export interface OtherRecord {
  /** The table, as it was looked for. */
  readonly table: string;
  /** Names without extension, in the order in which they were executed. */
  readonly names: readonly string[];
}

/**
 * Reads what another tool has executed. In an open transaction; leaves an empty search path behind. `table`: its
 * name, where it is not the tool's default; perhaps `schema.name`. Throws CONFIG where it is not there.
 */
export async function readOtherTool(
  session: Session,
  tool: OtherTool,
  table: string | undefined,
  searchPath: readonly string[] | null,
): Promise<OtherRecord> {
  const wanted = table ?? otherTools[tool];
  const written = wanted.split('.').map(quote).join('.');
  await session.query(authorSearchPath(searchPath));
  const { rows: found } = await session.query(
    `select pg_catalog.to_regclass($1)::pg_catalog.oid::pg_catalog.text as oid, pg_catalog.current_setting('search_path') as path,
            exists (select from pg_catalog.pg_attribute as a
                    where a.attrelid operator(pg_catalog.=) pg_catalog.to_regclass($1)::pg_catalog.oid
                      and a.attname operator(pg_catalog.=) 'name'::pg_catalog.name
                      and not a.attisdropped) as is_usable,
            exists (select from pg_catalog.pg_attribute as a
                    where a.attrelid operator(pg_catalog.=) pg_catalog.to_regclass($1)::pg_catalog.oid
                      and a.attname operator(pg_catalog.=) 'id'::pg_catalog.name
                      and not a.attisdropped) as has_id`,
    [written],
  );
  const [facts = {}] = found;
  if (facts['oid'] == null || facts['is_usable'] !== true) {
    throw fail('CONFIG', {
      message:
        facts['oid'] == null
          ? `there is no table "${wanted}", in which ${tool} records its migrations`
          : `table "${wanted}" has no column "name": it is not the one in which ${tool} records its migrations`,
      detail: `search_path is ${String(facts['path'])}`,
      hint: 'name it with --table SCHEMA.TABLE',
    });
  }
  const { rows } = await session.query(
    `select name from ${written} order by ${facts['has_id'] === true ? 'id' : 'name'}`,
  );
  await session.query(emptySearchPath);
  return { table: wanted, names: rows.map((row) => nameOfFile(String(row['name']))) };
}
