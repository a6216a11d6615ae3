import type { Knex } from 'knex';
import { UmzugClusterError, fail, messageOf } from '../../errors.ts';
import { chunkKnex } from '../handle/chunk-client.ts';
import type { LoadedMigration } from './loader.ts';
import { inspectSelect } from '../select/shape.ts';

/**
 * Checks what can be known of a migration without a database: that `select`, and that of `down`, return a query
 * that can be cut into chunks. Throws SELECT_REFUSED.
 */
export function checkOffline(migration: LoadedMigration, knexConfig: Knex.Config): void {
  if (migration.kind !== 'data') return;
  const steps = [
    ['select', migration, migration.path],
    ['down.select', migration.down, `${migration.path}, down`],
  ] as const;
  for (const [what, step, where] of steps) {
    if (step !== null) inspectSelect(called(migration, what, step.select, knexConfig), where);
  }
}

/** The SQL of `select`, with `?` for values; null: it cannot be made without a database. Runs nothing. */
export function selectedSql(migration: LoadedMigration, knexConfig: Knex.Config): string | null {
  if (migration.kind !== 'data') return null;
  try {
    const query = called(migration, 'select', migration.select, knexConfig) as Knex.QueryBuilder;
    return query.toSQL().sql;
  } catch {
    return null;
  }
}

function called(
  { name, path }: LoadedMigration,
  what: string,
  select: (db: Knex) => unknown,
  knexConfig: Knex.Config,
): unknown {
  const refuse = (): never => {
    throw fail('SELECT_REFUSED', {
      message: `${name}: ${what} runs a statement`,
      hint: `${what} returns a query and runs none: see ${path}`,
    });
  };
  const { builder } = chunkKnex(knexConfig, { transacting: true, check: refuse, run: refuse, refuse });
  try {
    return select(builder);
  } catch (error) {
    if (error instanceof UmzugClusterError) throw error;
    throw fail('SELECT_REFUSED', {
      message: `${name}: ${what} threw: ${messageOf(error)}`,
      hint: `see ${path}`,
      cause: error,
    });
  }
}
