import { createHash } from 'node:crypto';
import { fail, messageOf } from '../errors.ts';
import type { Direction } from '../ledger/rows.ts';
import { resolveBaseTable } from '../migration/base-table.ts';
import { compiled } from '../migration/chunk-queries.ts';
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
  try {
    await session.authorQuery(`explain ${text}`, values as unknown[]);
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') throw error;
    if (!/^(42|25006|0A|22)/.test(error.code)) throw error;
    throw fail(error.code === '42501' ? 'PERMISSION' : 'SELECT_REFUSED', {
      message: `${migration.name}: select is refused by Postgres: ${error.message}`,
      detail: `SQLSTATE ${error.code}`,
      hint: `see ${migration.path}`,
    });
  }
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
