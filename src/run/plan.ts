import { createHash } from 'node:crypto';
import { fail, messageOf } from '../errors.ts';
import type { Direction, Key } from '../ledger/rows.ts';
import { resolveBaseTable } from '../migration/base-table.ts';
import { comparisons, compiled, maxKey } from '../migration/chunk-queries.ts';
import { guardDatabase } from '../migration/guard.ts';
import type { BaseTable } from '../migration/key.ts';
import type { LoadedMigration } from '../migration/loader.ts';
import { inspectSelect } from '../migration/select-shape.ts';
import type { Session } from '../postgres/session.ts';
import { authorSearchPath, beginReadOnly, withTransaction } from '../postgres/transaction.ts';
import type { RunEnvironment } from './environment.ts';

/** A data migration as loaded from its file. */
export type DataMigration = Extract<LoadedMigration, { kind: 'data' }>;

/** The pair of functions that one direction of a data migration runs. */
export type Step = Pick<DataMigration, 'select' | 'update' | 'setBased'>;

/** What `select` means in this database, and a hash by which two hosts compare their understanding. */
export interface Plan {
  readonly base: BaseTable;
  readonly sql: string;
  readonly sha256: string;
  readonly warnings: readonly string[];
}

/** The functions of a direction; refuses `down` where the file has none. */
export function stepOf(migration: DataMigration, direction: Direction): Step {
  if (direction === 'up') return migration;
  if (migration.down === null) {
    throw fail('NO_DOWN', {
      message: `${migration.name} has no down`,
      detail: 'nothing was changed',
      hint: 'export const down = { select, update } in the migration file',
    });
  }
  return migration.down;
}

/**
 * Compiles `select`, resolves its base table and key, and lets Postgres check the statement. Runs in a
 * read-only transaction, so a `select` that writes is refused.
 */
export async function planStep(
  session: Session,
  env: RunEnvironment,
  migration: DataMigration,
  step: Step,
): Promise<Plan> {
  return await withTransaction(
    session,
    env.pinned,
    async () => {
      await session.query(authorSearchPath(env.searchPath));
      const guard = guardDatabase(session, env.knexConfig);
      const shape = inspectSelect(callSelect(migration, step, guard.builder), migration.path);
      const base = await resolveBaseTable(
        (text, values) => session.query(text, values),
        shape.table,
        migration.options.key,
      );
      const { sql, bindings } = compiled(shape);
      await explain(session, migration, guard.builder, sql, bindings);
      await checkKey(session, migration, base);
      const identity = { sql, bindings, table: base.oid, key: base.key };
      const sha256 = createHash('sha256').update(JSON.stringify(identity, bigintAsText)).digest('hex');
      return { base, sql, sha256, warnings: shape.warnings };
    },
    beginReadOnly,
  );
}

/** Calls the author's `select`; what it returns is not awaited, since awaiting a query runs it. */
function callSelect(migration: DataMigration, step: Step, db: Parameters<Step['select']>[0]): unknown {
  try {
    return step.select(db);
  } catch (error) {
    throw fail('SELECT_REFUSED', {
      message: `${migration.name}: select threw: ${messageOf(error)}`,
      hint: `see ${migration.path}`,
      cause: error,
    });
  }
}

async function explain(
  session: Session,
  migration: DataMigration,
  db: ReturnType<typeof guardDatabase>['builder'],
  sql: string,
  bindings: readonly unknown[],
): Promise<void> {
  const { sql: text, bindings: values } = db
    .raw(sql, bindings as never)
    .toSQL()
    .toNative();
  await checked(migration, 'select', session.authorQuery(`explain ${text}`, values as unknown[]));
}

/** Compares the largest key with the keys, as chunks will: nothing is written yet. */
async function checkKey(session: Session, migration: DataMigration, base: BaseTable): Promise<void> {
  const max = maxKey(base);
  const compare = async (): Promise<void> => {
    const found = await session.query(max.text, max.values);
    const { text, values } = comparisons(base, (found.rows[0]?.['key'] as Key | undefined) ?? null);
    await session.query(`explain ${text}`, values);
  };
  await checked(migration, 'the comparison of its keys', compare());
}

/** Waits for a check by Postgres; throws SELECT_REFUSED or PERMISSION with what it says. */
async function checked(migration: DataMigration, what: string, check: Promise<unknown>): Promise<void> {
  try {
    await check;
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') throw error;
    // XX000: Postgres 18.4 cannot estimate a comparison of "char" (cache lookup failed for collation 0).
    if (!/^(42|25006|0A|22|XX)/.test(error.code)) throw error;
    throw fail(error.code === '42501' ? 'PERMISSION' : 'SELECT_REFUSED', {
      message: `${migration.name}: ${what} is refused by Postgres: ${error.message}`,
      detail: `SQLSTATE ${error.code}`,
      hint: `see ${migration.path}`,
    });
  }
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
