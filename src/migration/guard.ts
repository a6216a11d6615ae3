import { createRequire } from 'node:module';
import { setImmediate as macrotask } from 'node:timers/promises';
import type { Knex } from 'knex';
import { withoutLiterals } from '../core/server-message.ts';
import { fail } from '../errors.ts';
import type { Session } from '../postgres/session.ts';
import type { Database } from './contract.ts';

/**
 * The handle that author code gets: knex on the chunk's own connection, inside its open transaction. It
 * counts statements, keeps the first SQL error (knex lets a swallowed one pass as success), refuses to
 * end the transaction, and stops working when the chunk is over.
 */
export interface GuardedDatabase {
  readonly db: Database;
  /** The unproxied knex, for building the runner's own queries with the author's settings. */
  readonly builder: Knex;
  /** Waits for `work`, then checks what it did. Throws what the author should read. */
  settle(work: () => unknown, expect: Expectation): Promise<unknown>;
  /** Rows that the largest statement changed. */
  readonly affected: () => number;
  /** What a later error means where author code swallowed one before; else the error itself. */
  explain(error: unknown): unknown;
  /** After this every use throws. */
  close(): void;
}

export interface Expectation {
  /** Name of the function that runs, for messages: `update`, `down.update`, `up`. */
  readonly what: string;
  readonly allowNoQueries: boolean;
}

// knex has no public way to give it a connection; its client class is the documented base of dialects.
const require = createRequire(import.meta.url);
const knexFactory = require('knex') as (config: Knex.Config) => Knex;
const PgClient = require('knex/lib/dialects/postgres/index.js') as typeof Knex.Client;

interface QueryObject {
  sql: string;
  bindings?: readonly unknown[];
  options?: object;
  response?: unknown;
}

const forbidden: readonly [pattern: RegExp, advice: string][] = [
  [
    /^(commit|end|abort|begin|start\s+transaction|rollback(?!\s+(work\s+|transaction\s+)?to)|prepare\s+transaction)\b/i,
    'the runner opens and ends the transaction of a chunk; use db.transaction() for a savepoint',
  ],
  [
    /^set\s+(?!local\b|constraints\b)/i,
    'it would outlive the chunk and leak to other clients of a pooler; use SET LOCAL',
  ],
  [/^(listen|unlisten|discard|reset|load)\b/i, 'it changes the session, which a chunk must not'],
  [/^create\s+(global\s+|local\s+)?temp/i, 'a temporary table outlives the chunk; use a CTE'],
];

/** Binds a knex handle to `session`, whose transaction must be open. One handle serves one chunk. */
export function guardDatabase(
  session: Session,
  knexConfig: Knex.Config,
  mode: { readonly transaction: boolean } = { transaction: true },
): GuardedDatabase {
  const state = {
    open: true,
    statements: 0,
    inFlight: 0,
    affected: 0,
    firstError: null as unknown,
    what: 'update',
  };

  // The class is made per chunk because knex builds savepoint clients from its prototype.
  class ChunkClient extends PgClient {
    transacting = mode.transaction;
    override acquireConnection(): Promise<unknown> {
      return Promise.resolve(session.client);
    }
    override releaseConnection(): Promise<void> {
      return Promise.resolve();
    }
    async _query(_connection: unknown, query: QueryObject): Promise<QueryObject> {
      if (!state.open) throw lateUse();
      if (mode.transaction) refuseForbidden(query.sql);
      state.statements += 1;
      state.inFlight += 1;
      try {
        const response = await session.authorQuery(query.sql, query.bindings ?? [], query.options);
        state.affected = Math.max(state.affected, response.rowCount ?? 0);
        query.response = response;
        return query;
      } catch (error) {
        state.firstError ??= error;
        // knex puts the text before the message; an author may have pasted values into it.
        query.sql = withoutLiterals(query.sql);
        throw error;
      } finally {
        state.inFlight -= 1;
        // The transaction is gone: later statements must not commit by themselves.
        if (mode.transaction && session.transactionStatus() === 'I') session.destroy();
      }
    }
    _stream(): never {
      throw fail('MIGRATION_FAILED', { message: 'streams are not supported on db: a chunk is small' });
    }
  }

  const builder = knexFactory({
    ...knexConfig,
    client: ChunkClient as unknown as typeof Knex.Client,
    compileSqlOnError: false,
  } as Knex.Config);

  return {
    builder,
    db: new Proxy(builder, { get: guardedProperty }) as Database,
    affected: () => state.affected,
    // The server's word that the transaction is aborted may come after the error that did it.
    explain: (error) =>
      state.firstError !== null && isAborted(error) ? swallowed(state.what, state.firstError) : error,
    close: () => {
      state.open = false;
    },
    async settle(work, expect) {
      state.what = expect.what;
      const value = await work();
      // Work that was started and not awaited shows within two turns of the event loop.
      // A statement in flight now may be answered by then, so it is looked at first.
      const wasRunning = state.inFlight > 0;
      const before = state.statements;
      await macrotask();
      await macrotask();
      if (wasRunning || state.inFlight > 0 || state.statements > before) {
        throw fail('MIGRATION_FAILED', {
          message: `${expect.what} returned while statements were still running on db`,
          hint: 'await every statement; rows.forEach(async …) awaits nothing, use Promise.all(rows.map(…))',
        });
      }
      if (session.transactionStatus() === 'E') throw swallowed(expect.what, state.firstError);
      if (state.statements === 0 && !expect.allowNoQueries) {
        throw fail('MIGRATION_FAILED', {
          message: `${expect.what} ran no statement on db: did you forget await or return?`,
          hint: 'return the query, or set options.allowNoQueries',
        });
      }
      return value;
    },
  };
}

function guardedProperty(target: Knex, property: string | symbol): unknown {
  if (property === 'commit' || property === 'rollback' || property === 'destroy') {
    throw fail('MIGRATION_FAILED', {
      message: `db.${property} must not be used: the runner ends the transaction of a chunk`,
      hint: 'throw an error to roll the chunk back',
    });
  }
  return Reflect.get(target, property) as unknown;
}

function refuseForbidden(sql: string): void {
  const text = sql.replace(/^(\s|--[^\n]*\n|\/\*[\s\S]*?\*\/)+/, '');
  for (const [pattern, advice] of forbidden) {
    const match = pattern.exec(text);
    if (match) {
      throw fail('MIGRATION_FAILED', {
        message: `a migration must not run ${match[0].trim().toUpperCase()}`,
        hint: advice,
      });
    }
  }
}

function isAborted(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === '25P02';
}

function lateUse(): Error {
  return fail('MIGRATION_FAILED', {
    message: 'db was used after its chunk was over',
    hint: 'await every statement before update returns',
  });
}

function swallowed(what: string, firstError: unknown): Error {
  return fail('MIGRATION_FAILED', {
    message: `${what} caught a SQL error and went on, but Postgres had already aborted the transaction`,
    hint: 'let the error through, or run the statement in db.transaction() so that only its savepoint is lost',
    cause: firstError,
  });
}
