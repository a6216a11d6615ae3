import { createRequire } from 'node:module';
import type { Knex } from 'knex';
import { withoutLiterals } from '../../core/errors/server-message.ts';
import { compiledFor } from './confined.ts';
import { knownUpdate, noteUpdate } from './known-update.ts';
import type { ChunkDriver, QueryObject } from './driver.ts';
import { offerPgClient } from './pg-client.ts';
import { type BuiltThings, trackBuilt, trackedBuilder } from './unrun.ts';

/** knex without a connection of its own. */
export interface ChunkKnex {
  readonly builder: Knex;
  readonly built: BuiltThings;
  /** Whether a transaction of `db.transaction()`, or of a library on `pgClient(db)`, was neither committed nor rolled back. */
  readonly hasOpenTransaction: () => boolean;
}

// knex has no public way to give it a connection; its client class is the documented base of dialects.
const require = createRequire(import.meta.url);
const knexFactory = require('knex') as (config: Knex.Config) => Knex;
const PgClient = require('knex/lib/dialects/postgres/index.js') as typeof Knex.Client;
const PgBuilder = require('knex/lib/dialects/postgres/query/pg-querybuilder.js') as Parameters<
  typeof trackedBuilder
>[0];

interface NestedTransaction {
  isCompleted(): boolean;
}

/** Makes knex run everything through `driver`. Its pool, its connection and its end are out of reach. */
export function chunkKnex(knexConfig: Knex.Config, driver: ChunkDriver): ChunkKnex {
  const built = trackBuilt((builder) => driver.made?.(builder));
  const nested: NestedTransaction[] = [];
  const clientClass = chunkClient(driver, built, nested);
  const pgClient = offerPgClient(clientClass, driver);
  const builder = knexFactory({
    ...knexConfig,
    client: clientClass as unknown as typeof Knex.Client,
    compileSqlOnError: false,
  } as Knex.Config);
  const hasOpenTransaction = (): boolean =>
    pgClient.hasOpenTransaction || nested.some((trx) => !trx.isCompleted());
  return { builder, built, hasOpenTransaction };
}

// Classes are made per chunk because knex builds savepoint clients from their prototypes, and because what they close
// over is out of the reach of author code, as `db.client.config` is not.

/** A client whose connection nobody can use, replace or end. */
function withoutConnection(driver: ChunkDriver): typeof Knex.Client {
  const own = (what: string): Error =>
    driver.refuse(
      `${what} must not be used: db has one connection, and umzug-cluster owns it`,
      'use db itself',
    );
  // All that author code can get hold of; the session is not reachable from here.
  const connection = {
    query: (): never => {
      throw own('the connection of db');
    },
  };
  return class extends PgClient {
    override acquireConnection(): Promise<unknown> {
      return Promise.resolve(connection);
    }
    override releaseConnection(): Promise<void> {
      return Promise.resolve();
    }
    override acquireRawConnection(): never {
      throw own('db.client.acquireRawConnection');
    }
    override initializePool(): never {
      throw own('db.initialize');
    }
    override cancelQuery(): never {
      throw own('timeout(…, { cancel: true })');
    }
    override destroy(): never {
      const hint = 'throw an error to roll the chunk back';
      throw driver.refuse('db.destroy must not be used: umzug-cluster ends the transaction of a chunk', hint);
    }
  };
}

/** The same, with builders that are tracked until they are run. */
function buildingClient(driver: ChunkDriver, built: BuiltThings): typeof Knex.Client {
  const Builder = trackedBuilder(PgBuilder, built);
  return class extends withoutConnection(driver) {
    override queryBuilder(): Knex.QueryBuilder {
      return new Builder(this as unknown as Knex.Client);
    }
    override queryCompiler(builder: object, ...rest: unknown[]): unknown {
      built.used(builder);
      const compiled = compiledFor(builder, driver.refuse);
      built.used(compiled);
      return (super.queryCompiler as (...all: unknown[]) => unknown).call(this, compiled, ...rest);
    }
    override schemaBuilder(): Knex.SchemaBuilder {
      const builder = super.schemaBuilder();
      built.add(builder);
      return builder;
    }
    override schemaCompiler(builder: object): unknown {
      built.used(builder);
      return (super.schemaCompiler as (...all: unknown[]) => unknown).call(this, builder);
    }
    override raw(...given: unknown[]): Knex.Raw {
      if (isCompiledElsewhere(given)) {
        const hint = 'in update write pgClient(db).query(text, values); from select return { sql, params }';
        throw driver.refuse('db.raw takes ? for each value, and this query has $1', hint);
      }
      const raw = (super.raw as (...all: unknown[]) => Knex.Raw).call(this, ...given);
      const toSQL = raw.toSQL.bind(raw) as (...all: unknown[]) => Knex.Sql;
      raw.toSQL = (...all: unknown[]): Knex.Sql => {
        built.used(raw);
        const compiled = toSQL(...all);
        const known = knownUpdate(raw);
        if (known !== undefined) noteUpdate(compiled, known);
        return compiled;
      };
      built.add(raw);
      return raw;
    }
  };
}

/** The same, whose statements and savepoints `driver` runs. */
function chunkClient(
  driver: ChunkDriver,
  built: BuiltThings,
  nested: NestedTransaction[],
): typeof Knex.Client {
  // Siblings take turns, as in any knex transaction: their savepoints would undo each other's writes.
  const outer = { _lastChild: Promise.resolve(), isCompleted: () => false, transactor: undefined };
  return class extends buildingClient(driver, built) {
    transacting = driver.transacting;
    override transaction(container: unknown, config: unknown, outerTrx: unknown): Knex.Transaction {
      const make = super.transaction as unknown as (
        ...all: unknown[]
      ) => Knex.Transaction & NestedTransaction;
      const trx = make.call(this, container, config, outerTrx ?? (driver.transacting ? outer : null));
      nested.push(trx);
      return trx;
    }
    override query(given: unknown, query: string | QueryObject): Promise<unknown> {
      const run = super.query as unknown as (...all: unknown[]) => Promise<unknown>;
      if (typeof query === 'string') driver.check(query, []);
      else driver.check(query.sql, query.bindings ?? []);
      return run.call(this, given, query);
    }
    async _query(_connection: unknown, query: QueryObject): Promise<QueryObject> {
      try {
        query.response = await driver.run(query);
        return query;
      } catch (error) {
        // knex puts the text before the message; an author may have pasted values into it.
        query.sql = shortened(withoutLiterals(query.sql));
        throw error;
      }
    }
    _stream(): never {
      throw driver.refuse('streams are not supported on db', 'await the rows: a chunk is small');
    }
  };
}

/** A query that another library has compiled, given as it is or as text and values. */
function isCompiledElsewhere([sql, values]: readonly unknown[]): boolean {
  if (typeof sql === 'string') {
    return Array.isArray(values) && values.length > 0 && !sql.includes('?') && /\$\d/.test(sql);
  }
  const { params, parameters } = (sql ?? {}) as Readonly<Record<string, unknown>>;
  return Array.isArray(params ?? parameters);
}

// A list of 10,000 keys makes a statement of 70 kB, which would hide what is wrong with it.
const shownSql = 300;

function shortened(sql: string): string {
  return sql.length <= shownSql ? sql : `${sql.slice(0, shownSql)}…`;
}
