import { EventEmitter } from 'node:events';
import type { Knex } from 'knex';
import type * as Pg from 'pg';
import { fail } from '../../errors.ts';
import { pg } from '../../postgres/pg.ts';
import { statementsOf } from '../sql/statements.ts';
import { normalized } from '../sql/sql-words.ts';
import type { ChunkDriver } from './driver.ts';

/** A client of node-postgres, and a pool that has no other. */
export type PgClient = Pg.Pool & Pick<Pg.PoolClient, 'release' | 'escapeIdentifier' | 'escapeLiteral'>;

/** The clients of the handles' knex classes, out of the reach of author code. */
const clients = new WeakMap<object, ChunkPgClient>();

/** Makes `pgClient` know the handle whose knex client has this class. */
export function offerPgClient(
  clientClass: { readonly prototype: object },
  driver: ChunkDriver,
): ChunkPgClient {
  const client = new ChunkPgClient(driver);
  clients.set(clientClass.prototype, client);
  return client;
}

/**
 * The transaction of a chunk as a client of node-postgres, for query builders other than knex: `query` takes a text
 * with `$1` and values, or a config with `rowMode` and `types`, and gives its Result. It is a pool as well: `connect`
 * resolves to itself, and `release` and `end` end nothing. All that `db` refuses it refuses; BEGIN, COMMIT and
 * ROLLBACK, with which ORMs surround what they write, become a savepoint, and SET becomes SET LOCAL. Throws MIGRATION_FAILED where `db` is none
 * that umzug-cluster has given to a migration.
 */
export function pgClient(db: Knex): PgClient {
  let at: unknown = (db as { readonly client?: unknown } | null | undefined)?.client;
  while (typeof at === 'object' && at !== null) {
    const found = clients.get(at);
    if (found !== undefined) return found as unknown as PgClient;
    at = Object.getPrototypeOf(at) as unknown;
  }
  throw fail('MIGRATION_FAILED', {
    message: 'pgClient: db is not the one that umzug-cluster has given to the migration',
    hint: 'call it in update or in a schema migration, with the db that it is given',
  });
}

interface Config {
  readonly text: string;
  readonly values?: readonly unknown[];
  readonly rowMode?: string;
  readonly types?: unknown;
}

type Callback = (error: unknown, result?: unknown, release?: () => void) => void;

// A transaction of Postgres's default mode, which is that of the chunk.
const begins =
  /^(begin|start transaction)( work| transaction)?( isolation level read committed)?,?( read write)?$/;
const commits = /^(commit|end)( work| transaction)?$/;
const rollsBack = /^(rollback|abort)( work| transaction)?$/;

export class ChunkPgClient extends EventEmitter {
  readonly #driver: ChunkDriver;
  /** Transactions of a library that are open, one within the other. */
  #depth = 0;

  constructor(driver: ChunkDriver) {
    super();
    this.#driver = driver;
  }

  /** A library has started a transaction and not ended it. */
  get hasOpenTransaction(): boolean {
    return this.#depth > 0;
  }

  /** What a library listens to for the server's parameters; none are told. */
  readonly connection = new EventEmitter();

  query(given: string | Config, ...rest: readonly unknown[]): unknown {
    const callback = rest.findLast((one): one is Callback => typeof one === 'function');
    const values = Array.isArray(rest[0]) ? (rest[0] as readonly unknown[]) : undefined;
    const config = typeof given === 'string' ? { text: given } : given;
    return answer(this.#run({ ...config, ...(values === undefined ? {} : { values }) }, given), callback);
  }

  connect(callback?: Callback): unknown {
    return answer(Promise.resolve(this), callback, () => undefined);
  }

  /** The connection stays with the chunk. */
  release(): void {}

  end(callback?: Callback): unknown {
    return answer(Promise.resolve(), callback);
  }

  escapeIdentifier(name: string): string {
    return pg.escapeIdentifier(name);
  }

  escapeLiteral(text: string): string {
    return pg.escapeLiteral(text);
  }

  async #run({ text, values, rowMode, types }: Config, given: unknown): Promise<unknown> {
    if (typeof (given as { readonly submit?: unknown }).submit === 'function') {
      throw this.#driver.refuse(
        'cursors and streams are not supported on db',
        'await the rows: a chunk is small',
      );
    }
    const sql = this.#driver.transacting ? localized(this.#asSavepoint(text)) : text;
    const bindings = values ?? [];
    this.#driver.check(sql, bindings);
    return await this.#driver.run({ sql, bindings, options: { rowMode, types } });
  }

  /** What begins and ends a transaction, as what begins and ends a savepoint. */
  #asSavepoint(text: string): string {
    if (text.length > 100) return text;
    const words = normalized(text)
      .replace(/[;\s]+$/, '')
      .trim();
    if (begins.test(words)) {
      this.#depth += 1;
      return `savepoint ${this.#name}`;
    }
    if (this.#depth === 0) return text;
    const name = this.#name;
    if (commits.test(words)) {
      this.#depth -= 1;
      return `release savepoint ${name}`;
    }
    if (!rollsBack.test(words)) return text;
    this.#depth -= 1;
    return `rollback to savepoint ${name}; release savepoint ${name}`;
  }

  get #name(): string {
    return `umzug_cluster_${this.#depth}`;
  }
}

/** What sets up a connection, as libraries do when they open one: until the end of the chunk, as it must not outlive it. */
function localized(text: string): string {
  if (!/^\s*set\s/i.test(text)) return text;
  const local = (sql: string): string =>
    sql.replace(
      /^set\s+(session\s+)?(?!local\b|transaction\b|constraints\b|characteristics\b|authorization\b)/i,
      'set local ',
    );
  return statementsOf(text).map(local).join(';');
}

/** A promise, or nothing where a callback is given, as node-postgres does it. */
function answer(work: Promise<unknown>, callback: Callback | undefined, release?: () => void): unknown {
  if (callback === undefined) return work;
  // oxlint-disable promise/no-callback-in-promise -- callers that give one want no promise
  work.then(
    (result) => callback(undefined, result, release),
    (error: unknown) => callback(error),
  );
  // oxlint-enable promise/no-callback-in-promise
  return undefined;
}
