import type { Knex } from 'knex';
import { fail, messageOf, codeOf } from '../../errors.ts';
import { guardDatabase } from '../../migration/handle/guard.ts';
import { native } from '../../migration/chunk/queries.ts';
import type { Run } from '../../ledger/run/rows.ts';
import type { LoadedMigration } from '../../migration/file/loader.ts';
import { inspectSelect } from '../../migration/select/shape.ts';
import { unended } from '../../migration/select/raw.ts';
import type { Session } from '../../postgres/session.ts';
import {
  authorSearchPath,
  beginReadOnly,
  inOrder,
  setLocal,
  withTransaction,
} from '../../postgres/transaction.ts';
import { selectOfChunk } from '../analyze/author-select.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { type DataMigration, stepOf } from '../context/step.ts';

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
  if (migration.verify === null && migration.kind === 'schema') return null;
  return await withTransaction(
    session,
    env.pinned,
    async () => {
      await Promise.all([session.query(env.unhurried), session.query(withoutLimits)]);
      await session.query(authorSearchPath(env.searchPath));
      const { sql, bindings } = askedOf(session, env, migration);
      return await countWith(
        session,
        migration,
        `select pg_catalog.count(*)::pg_catalog.text as left from (${unended(sql)}) as found`,
        bindings,
      );
    },
    beginReadOnly,
  );
}

/** Whether the select of a run still finds a row, in one snapshot of the whole table. */
export async function isAnyLeft(
  session: Session,
  env: RunEnvironment,
  migration: DataMigration,
  run: Run,
): Promise<boolean> {
  const guard = guardDatabase(session, env.knexConfig);
  const look = async (): Promise<boolean> => {
    await inOrder([session.query(env.unhurried), session.query(withoutLimits)]);
    await session.query(authorSearchPath(env.searchPath));
    const work = { migration, run, step: stepOf(migration, run.direction) };
    const { text, values } = native(selectOfChunk(work, guard.builder).builder);
    const { rows } = await session.query(`select exists (${text}) as found`, values);
    return rows[0]?.['found'] === true;
  };
  return await withTransaction(session, env.pinned, look, beginReadOnly).finally(() => guard.close());
}

/** For how long an ended run may look for what it has left, and wait for a lock of its table. */
export const lookMs = 2_000;
const lockMs = 100;

// At its end nobody has asked for it, and nobody is to wait long.
const withinLimits = setLocal([
  ['statement_timeout', `${lookMs}ms`],
  ['lock_timeout', `${lockMs}ms`],
]);

// A select that finds that many is taken for one that does not drain: more are not worth the time.
const mostCounted = 100_000;

/**
 * The same of a run that has just ended after so many rows, for as long as nobody minds. Null also where its
 * `select` does not drain: it finds half as many rows as were migrated, so these may be the very same.
 */
export async function lookForLeft(
  session: Session,
  env: RunEnvironment,
  migration: DataMigration,
  { rows, isDraining }: { readonly rows: number; readonly isDraining: boolean },
): Promise<number | null> {
  const limit = isDraining || migration.verify !== null ? null : Math.min(Math.ceil(rows / 2), mostCounted);
  if (rows === 0 || limit === 1) return null;
  const settings = `${env.pinned}; ${withinLimits}; ${authorSearchPath(env.searchPath)}`;
  return await withTransaction(
    session,
    settings,
    async () => {
      const { sql, bindings } = askedOf(session, env, migration);
      const found = `select from (${unended(sql)}) as found limit ${limit ?? 'all'}`;
      const text = `select pg_catalog.count(*)::pg_catalog.text as left from (${found}) as counted`;
      const left = await countWith(session, migration, text, bindings);
      return left === limit ? null : left;
    },
    beginReadOnly,
  );
}

/** The query that finds them. */
function askedOf(session: Session, env: RunEnvironment, migration: LoadedMigration): Knex.Sql {
  const { verify } = migration;
  const guard = guardDatabase(session, env.knexConfig);
  try {
    const query =
      verify === null && migration.kind === 'data'
        ? inspectSelect(migration.select(guard.builder), migration.path).builder
        : verifying(migration, verify?.(guard.builder));
    return query.toSQL().toNative() as Knex.Sql;
  } finally {
    // What awaits its query would run it in the next turn of the loop, when this transaction may be over.
    guard.close();
  }
}

async function countWith(
  session: Session,
  migration: LoadedMigration,
  text: string,
  bindings: readonly unknown[],
): Promise<number> {
  try {
    const { rows } = await session.authorQuery(text, bindings);
    return Number(rows[0]?.['left']);
  } catch (error) {
    const code = codeOf(error) ?? '';
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
  // The refusal says all that its rejection would.
  if (result instanceof Promise) result.catch(() => undefined);
  throw fail('MIGRATION_FILE', {
    message: `${migration.name}: verify must return a query for rows that should not exist`,
    hint: 'return the query, not its result: no async, no await',
  });
}
