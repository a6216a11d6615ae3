import type { Knex } from 'knex';
import { fail, messageOf } from '../../errors.ts';
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
    throw fail('SELECT_REFUSED', {
      message: `${name}: ${what} threw: ${messageOf(error)}`,
      hint: `see ${path}`,
      cause: error,
    });
  }
}
