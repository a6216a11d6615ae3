import type { Knex } from 'knex';
import { fail, messageOf } from '../errors.ts';
import { guardDatabase } from '../migration/guard.ts';
import type { LoadedMigration } from '../migration/loader.ts';
import { inspectSelect } from '../migration/select-shape.ts';
import { unended } from '../migration/whole-select.ts';
import type { Session } from '../postgres/session.ts';
import { authorSearchPath, beginReadOnly, setLocal, withTransaction } from '../postgres/transaction.ts';
import type { RunEnvironment } from './environment.ts';

// A person asked, and waits for the answer: it may read a whole table.
const withoutLimits = setLocal([['statement_timeout', '0']]);

/**
 * Rows that an executed migration should have left none of: those of its `verify`, or that its `select` still
 * finds. Null: it says nothing about rows. Reads only, in one statement; throws SELECT_REFUSED.
 */
export async function countLeft(
  session: Session,
  env: RunEnvironment,
  migration: LoadedMigration,
): Promise<number | null> {
  const { verify } = migration;
  if (verify === null && migration.kind === 'schema') return null;
  return await withTransaction(
    session,
    env.pinned,
    async () => {
      await Promise.all([session.query(env.unhurried), session.query(withoutLimits)]);
      await session.query(authorSearchPath(env.searchPath));
      const { builder } = guardDatabase(session, env.knexConfig);
      const query =
        verify === null && migration.kind === 'data'
          ? inspectSelect(migration.select(builder), migration.path).builder
          : verifying(migration, verify?.(builder));
      const { sql, bindings } = query.toSQL().toNative();
      return await counted(
        session,
        migration,
        `select count(*)::text as left from (${unended(sql)}) as found`,
        bindings,
      );
    },
    beginReadOnly,
  );
}

async function counted(
  session: Session,
  migration: LoadedMigration,
  text: string,
  bindings: readonly unknown[],
): Promise<number> {
  try {
    const { rows } = await session.authorQuery(text, bindings);
    return Number(rows[0]?.['left']);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (!/^(42|25006|0A|22)/.test(code)) throw error;
    throw fail('SELECT_REFUSED', {
      message: `${migration.name}: ${migration.verify === null ? 'select' : 'verify'} is refused by Postgres: ${messageOf(error)}`,
      detail: `SQLSTATE ${code}`,
      hint: `see ${migration.path}`,
    });
  }
}

/** The query that `verify` returned; awaiting it would have run it. */
function verifying(migration: LoadedMigration, result: unknown): Knex.QueryBuilder | Knex.Raw {
  const query = result as { readonly toSQL?: unknown } | null | undefined;
  if (typeof query?.toSQL === 'function') return result as Knex.QueryBuilder;
  throw fail('MIGRATION_FILE', {
    message: `${migration.name}: verify must return a query, of rows that should not be there`,
    hint: 'return the query, not its result: no async, no await',
  });
}
