import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../core/backoff.ts';
import { judge } from '../core/verdict.ts';
import { UmzugClusterError, fail, messageOf } from '../errors.ts';
import { closeGuard, openGuard } from '../ledger/chunks.ts';
import { forgetExecuted, isExecuted, recordExecuted } from '../ledger/migrations.ts';
import type { Direction } from '../ledger/rows.ts';
import { ensureLedger } from '../ledger/schema.ts';
import type { SchemaStep } from '../migration/contract.ts';
import { type GuardedDatabase, guardDatabase } from '../migration/guard.ts';
import type { LoadedMigration } from '../migration/loader.ts';
import { type Session, withSession } from '../postgres/session.ts';
import { authorSearchPath, emptySearchPath, setLocal, withTransaction } from '../postgres/transaction.ts';
import type { RunEnvironment } from './environment.ts';
import type { Turn } from './register.ts';

/** A schema migration as loaded from its file. */
export type SchemaMigration = Extract<LoadedMigration, { kind: 'schema' }>;

interface Work extends Turn {
  readonly migration: SchemaMigration;
  readonly direction: Direction;
  readonly step: SchemaStep;
  /** Run it even where it is executed. */
  readonly again: boolean;
}

// DDL may rewrite a table: only locks are bounded, so that it never blocks the application for long.
const withoutStatementLimits = setLocal([
  ['statement_timeout', '0'],
  ['idle_in_transaction_session_timeout', '0'],
]);

/**
 * Runs `up` or `down` of a schema migration once, in one transaction with its record; or, where the file
 * asks for it, without a transaction and recorded afterwards. Hosts wait for each other.
 * `false`: another host had done it.
 */
export async function runSchemaStep(
  env: RunEnvironment,
  migration: SchemaMigration,
  direction: Direction,
  options: Turn & {
    /** Run it even where it is executed. */
    readonly again: boolean;
    /** Aborts when the migration is to be given up; its transaction is then rolled back. */
    readonly abort: AbortSignal;
  },
): Promise<boolean> {
  const step = direction === 'up' ? migration.up : migration.down;
  if (step === null) {
    throw fail('NO_DOWN', {
      message: `${migration.name} has no down`,
      detail: 'nothing was changed',
      hint: 'export function down(db) in the migration file',
    });
  }
  const { abort } = options;
  const work = { ...options, migration, direction, step };
  // DDL answers when it is done, however long it takes.
  return await withSession({ ...env.session, answerTimeoutMs: 0 }, async (session) => {
    const giveUp = (): void => session.destroy();
    abort.addEventListener('abort', giveUp, { once: true });
    try {
      return migration.transaction
        ? await retried(env, () => inTransaction(session, env, work))
        : await withoutTransaction(session, env, work);
    } finally {
      abort.removeEventListener('abort', giveUp);
    }
  });
}

async function inTransaction(session: Session, env: RunEnvironment, work: Work): Promise<boolean> {
  const { migration, direction, step } = work;
  const token = randomUUID();
  return await withTransaction(session, env.pinned, async () => {
    await Promise.all([session.query(env.unhurried), session.query(withoutStatementLimits)]);
    if (!(await isMyTurn(session, env, work))) return false;
    await openGuard(session, env.names, token);
    await session.query(authorSearchPath(env.searchPath));
    const guard = guardDatabase(session, env.knexConfig, { transaction: true, ddl: true });
    await runStep(guard, migration, direction, step);
    await session.query(emptySearchPath).catch((error: unknown) => {
      throw guard.explain(error);
    });
    if (!(await closeGuard(session, env.names, token))) {
      throw fail('MIGRATION_FAILED', {
        message: `${migration.name}: ${direction} ended its transaction`,
        hint: 'remove COMMIT and ROLLBACK, or export const options = { transaction: false }',
      });
    }
    await record(session, env, migration, direction);
    return true;
  });
}

/**
 * The turn is held by a second connection in an idle transaction, which has neither a snapshot nor a row
 * lock: CREATE INDEX CONCURRENTLY does not wait for it.
 */
async function withoutTransaction(session: Session, env: RunEnvironment, work: Work): Promise<boolean> {
  const { migration, direction, step } = work;
  return await withSession({ ...env.session, answerTimeoutMs: 0 }, (holder) =>
    withTransaction(holder, env.pinned, async () => {
      await Promise.all([holder.query(env.unhurried), holder.query(withoutStatementLimits)]);
      if (!(await isMyTurn(holder, env, work))) return false;
      // The portal of the last statement with values keeps its snapshot; a simple statement closes it.
      await holder.query(emptySearchPath);
      const guard = guardDatabase(session, env.knexConfig, { transaction: false, ddl: true });
      await runStep(guard, migration, direction, step);
      await record(holder, env, migration, direction);
      return true;
    }),
  );
}

async function isMyTurn(
  session: Session,
  env: RunEnvironment,
  { migration, direction, again, turn, refuse }: Work,
): Promise<boolean> {
  // Another host may be at this migration for as long as it takes.
  await ensureLedger(session, env.ledgerSchema, turn);
  const done = await isExecuted(session, env.names, migration.name);
  const isLeft = direction === 'up' ? again || !done : done;
  if (isLeft) await refuse(session);
  return isLeft;
}

async function runStep(
  guard: GuardedDatabase,
  migration: SchemaMigration,
  direction: Direction,
  step: SchemaStep,
): Promise<void> {
  try {
    await guard.settle(() => step(guard.db), { what: direction, allowNoQueries: true });
  } catch (error) {
    if (error instanceof UmzugClusterError) throw error;
    if (migration.transaction && judgedRetry(error)) throw error;
    throw fail('MIGRATION_FAILED', {
      message: `${migration.name}, ${direction}: ${messageOf(error)}`,
      hint: migration.transaction
        ? `everything it did was rolled back; mend ${migration.path} and run \`${direction}\` again`
        : `what it did before the error stays, since it asked for no transaction; see ${migration.path}`,
      cause: error,
    });
  } finally {
    guard.close();
  }
}

async function record(
  session: Session,
  env: RunEnvironment,
  { name, sha256 }: SchemaMigration,
  direction: Direction,
): Promise<void> {
  if (direction === 'down') return await forgetExecuted(session, env.names, name);
  await recordExecuted(session, env.names, { name, kind: 'schema', runId: null, fileSha256: sha256 });
}

function judgedRetry(error: unknown): boolean {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  return judge({ code, message: messageOf(error), isDatabase: true }) === 'retry' && !code.startsWith('08');
}

/** Tries again while locks are not to be had, within the budget. */
async function retried<T>(env: RunEnvironment, action: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await action();
    } catch (error) {
      const isOver = performance.now() - startedAt > env.tuning.retryBudgetMs;
      if (isOver || error instanceof UmzugClusterError || !judgedRetry(error)) throw error;
      await sleep(backoffMs(attempt, Math.random, { baseMs: 100, capMs: 2_000 }));
    }
  }
}
