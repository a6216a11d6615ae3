import { fail } from '../../errors.ts';
import { guardDatabase } from '../../migration/handle/guard.ts';
import { authorSearchPath, emptySearchPath, withTransaction } from '../../postgres/transaction.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { named } from '../lane/failure.ts';
import type { Watched } from './giving-way.ts';
import { type SchemaMigration, runStep } from './schema-step.ts';

/** What a schema migration did where it was only tried. */
export interface SchemaTrial {
  readonly durationMs: number;
  /** Locks that it took of whole tables that were there before, held until its transaction ends: `ShareLock on public.t`. */
  readonly locks: readonly string[];
  readonly statements: readonly string[];
}

/**
 * Runs `up` of a schema migration within the transaction that is watched, and leaves its changes there for what is
 * tried after it. Throws what `up` would throw, COMMIT included; nothing of it is left then.
 */
export async function trySchema(
  env: RunEnvironment,
  migration: SchemaMigration,
  watched: Watched,
): Promise<SchemaTrial> {
  const { session } = watched;
  const held = await watched.locks();
  const startedAt = performance.now();
  const statements: string[] = [];
  await withTransaction(session, env.pinned, async () => {
    await session.query(authorSearchPath(env.searchPath));
    const guard = guardDatabase(session, env.knexConfig, { transaction: true, ddl: true });
    session.onStatement = (text) => void statements.push(text);
    try {
      await runStep(guard, migration, 'up', migration.up);
    } finally {
      session.onStatement = null;
    }
    await session.query(emptySearchPath).catch((error: unknown) => {
      throw guard.explain(error);
    });
    await env
      .ledger(session)
      .chunks.checkDeferred()
      .catch((error: unknown) => {
        throw fail('MIGRATION_FAILED', {
          message: `${migration.name}, up: ${named(error)}`,
          detail: 'a deferred constraint, which is checked at COMMIT; it was rolled back',
          cause: error,
        });
      });
    // What it has set for its transaction would be in force for those after it.
    await session.query('reset all');
  });
  const durationMs = Math.round(performance.now() - startedAt);
  const now = await watched.locks();
  return { durationMs, locks: now.filter((lock) => !held.includes(lock)), statements };
}
