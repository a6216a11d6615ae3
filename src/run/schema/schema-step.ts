import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../../core/values/backoff.ts';
import { UmzugClusterError, fail, codeOf } from '../../errors.ts';
import type { Direction } from '../../ledger/run/rows.ts';
import { ensureLedger } from '../../ledger/schema.ts';
import type { SchemaStep } from '../../migration/contract/contract.ts';
import { type GuardedDatabase, guardDatabase } from '../../migration/handle/guard.ts';
import { folderOf } from '../../migration/file/folder.ts';
import type { LoadedMigration } from '../../migration/file/loader.ts';
import type { SessionOptions } from '../../postgres/client-config.ts';
import { type Session, withSession } from '../../postgres/session.ts';
import {
  authorSearchPath,
  emptySearchPath,
  inOrder,
  setLocal,
  withTransaction,
} from '../../postgres/transaction.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { judgeError, named, shortageBehind, unavailable } from '../lane/failure.ts';
import { type LockWatch, watchingLocks } from './lock-watch.ts';
import type { Turn } from '../lifecycle/register.ts';

/** A schema migration as loaded from its file. */
export type SchemaMigration = Extract<LoadedMigration, { kind: 'schema' }>;

interface Work extends Turn, LockWatch {
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
  options: Turn &
    LockWatch & {
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
  const tried: Tried = { isOpen: false, isRepeatable: true };
  return await retried(env, work, tried, () =>
    withSession(sessionFor(env, migration, 'schema'), async (session) => {
      tried.isOpen = true;
      const giveUp = (): void => session.destroy();
      abort.addEventListener('abort', giveUp, { once: true });
      try {
        return migration.transaction
          ? await inTransaction(session, env, work)
          : await withoutTransaction(session, env, work);
      } catch (error) {
        // On a lost connection it may have been committed; without a transaction part of it has.
        tried.isRepeatable = migration.transaction && session.usable;
        throw error;
      } finally {
        abort.removeEventListener('abort', giveUp);
      }
    }),
  );
}

/** DDL answers when it is done, however long it takes. */
function sessionFor({ session }: RunEnvironment, { name }: SchemaMigration, lane: string): SessionOptions {
  return { ...session, answerTimeoutMs: 0, use: { migration: name, lane } };
}

async function inTransaction(session: Session, env: RunEnvironment, work: Work): Promise<boolean> {
  const ledger = env.ledger(session);
  const { migration, direction, step } = work;
  const token = randomUUID();
  return await withTransaction(session, env.pinned, async () => {
    await inOrder([session.query(env.unhurried), session.query(withoutStatementLimits)]);
    if (!(await isMyTurn(session, env, work))) return false;
    await ledger.chunks.openGuard(token);
    await session.query(authorSearchPath(env.searchPath));
    const guard = guardDatabase(session, env.knexConfig, { transaction: true, ddl: true });
    await watchingLocks(session, work, () => runStep(guard, migration, direction, step));
    await session.query(emptySearchPath).catch((error: unknown) => {
      throw guard.explain(error);
    });
    if (!(await ledger.chunks.closeGuard(token))) {
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
  return await withSession(sessionFor(env, migration, 'turn'), (holder) =>
    withTransaction(holder, env.pinned, async () => {
      await inOrder([holder.query(env.unhurried), holder.query(withoutStatementLimits)]);
      if (!(await isMyTurn(holder, env, work))) return false;
      // The portal of the last statement with values keeps its snapshot; a simple statement closes it.
      await holder.query(emptySearchPath);
      const guard = guardDatabase(session, env.knexConfig, { transaction: false, ddl: true });
      await watchingLocks(session, work, () => runStep(guard, migration, direction, step));
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
  const done = await env.ledger(session).migrations.has(migration.name);
  const isLeft = direction === 'up' ? again || !done : done;
  if (isLeft) await refuse(session);
  return isLeft;
}

/** Runs the author's function, and says what its error means. */
export async function runStep(
  guard: GuardedDatabase,
  migration: SchemaMigration,
  direction: Direction,
  step: SchemaStep,
): Promise<void> {
  try {
    await guard.settle(() => step(guard.db), { what: direction, allowNoQueries: true });
  } catch (error) {
    if (error instanceof UmzugClusterError) throw error;
    if (migration.transaction && passes(error)) throw error;
    throw fail(shortageBehind(error) === null ? 'MIGRATION_FAILED' : 'DATABASE_UNAVAILABLE', {
      message: `${migration.name}, ${direction}: ${named(error)}`,
      hint: hintFor(error, migration, direction),
      cause: error,
    });
  } finally {
    guard.close();
  }
}

// What is to be created is there: relation, column, object, schema, function.
const isThereAlready: ReadonlySet<string> = new Set(['42P07', '42701', '42710', '42P06', '42723']);

function hintFor(error: unknown, { name, path, transaction }: SchemaMigration, direction: Direction): string {
  if (direction === 'up' && isThereAlready.has(codeOf(error) ?? ''))
    return `if this database had it before, mark the migrations that made it as executed: umzug-cluster baseline --to ${name}, or baseline --from knex for what another tool has recorded; else fix ${path} and run \`up\` again`;
  return transaction
    ? `everything it did was rolled back; fix ${path} and run \`${direction}\` again`
    : `what it did before the error stays, because it runs without a transaction; see ${path}`;
}

async function record(
  session: Session,
  env: RunEnvironment,
  { name, path, hashes }: SchemaMigration,
  direction: Direction,
): Promise<void> {
  const ledger = env.ledger(session);
  const { fileSha256 } = hashes;
  await ledger.history.record(direction === 'up' ? 'finished' : 'reverted', { name, direction, fileSha256 });
  if (direction === 'down') return await ledger.migrations.forget(name);
  await ledger.migrations.record({ name, kind: 'schema', runId: null, ...hashes });
  await ledger.migrations.noteFolder(name, folderOf(path));
  // Nothing was recreated when `up` began: this step did it, and its author knows of the rows.
  const recreated = await ledger.migrations.recreatedTables();
  await ledger.migrations.acceptTables(recreated.map((one) => one.name));
}

/** How far a try came. */
interface Tried {
  isOpen: boolean;
  isRepeatable: boolean;
}

function passes(error: unknown, isOpen = true): boolean {
  if (!judgeError(error, null).startsWith('retry')) return false;
  // On an open connection the server means the statement by it, not the connection.
  return !isOpen || codeOf(error)?.startsWith('08') !== true;
}

/** Tries again while connections, locks or space are not to be had, within the budget. */
async function retried<T>(
  env: RunEnvironment,
  { migration, direction, turn }: Work,
  tried: Tried,
  action: () => Promise<T>,
): Promise<T> {
  const startedAt = performance.now();
  for (let attempt = 1; ; attempt += 1) {
    tried.isOpen = false;
    try {
      return await action();
    } catch (error) {
      if (error instanceof UmzugClusterError || !passes(error, tried.isOpen)) throw error;
      const isOver = performance.now() - startedAt > env.tuning.retryBudgetMs;
      if (isOver || !tried.isRepeatable) {
        throw unavailable(`${migration.name}, ${direction}`, error, { again: `\`${direction}\`` });
      }
      const waitMs = backoffMs(attempt, Math.random);
      await sleep(waitMs, undefined, { signal: turn.signal }).catch(() => turn.signal.throwIfAborted());
    }
  }
}
