import type { Knex } from 'knex';
import { type NamingClient, databaseName } from './identifier.ts';

/**
 * What knex keeps to itself of a builder. The only file that reads its private fields, which is why its version is
 * pinned. Inside them values are unknown to TypeScript.
 */
interface PrivateBuilder {
  _single: Record<string, unknown>;
  _statements: KnexStatement[];
  _method: string;
  _sequence?: unknown;
  _queryContext?: unknown;
  client: NamingClient;
}

export interface KnexStatement {
  readonly grouping: string;
  readonly type?: string;
  readonly value?: unknown;
  readonly method?: string;
  readonly distinct?: unknown;
  readonly distinctOn?: unknown;
  readonly joinType?: string;
  readonly table?: unknown;
  readonly bool?: string;
  readonly column?: unknown;
  readonly not?: boolean;
}

/** The parts of a builder, to be read and set. */
export class BuilderParts {
  readonly #of: PrivateBuilder;

  constructor(builder: object) {
    this.#of = builder as PrivateBuilder;
  }

  get method(): string {
    return this.#of._method;
  }
  set method(method: string) {
    this.#of._method = method;
  }

  /** Clauses that there is one of. */
  get single(): Record<string, unknown> {
    return this.#of._single;
  }
  set single(single: Record<string, unknown>) {
    this.#of._single = single;
  }

  /** Clauses that there may be several of. */
  get statements(): KnexStatement[] {
    return this.#of._statements;
  }
  set statements(statements: KnexStatement[]) {
    this.#of._statements = statements;
  }

  /** Of a builder of schemas: what it does, one after the other. */
  get sequence(): unknown {
    return this.#of._sequence;
  }

  /** The name in the database for what is written in the query. */
  named(written: string): string {
    return databaseName(this.#of.client, written, this.#of._queryContext);
  }
}

/** Whether something is SQL that was written out: `db.raw(…)`, `db.ref(…)`. */
export function isRaw(value: unknown): value is Knex.Raw {
  return (value as { isRawInstance?: boolean } | null | undefined)?.isRawInstance === true;
}

/** Other SQL around, or of, what was written out, with the same bindings. */
export function rawLike(given: Knex.Raw, rewrite: (sql: string) => string): Knex.Raw {
  const { client } = given as unknown as { readonly client: Pick<Knex, 'raw'> };
  const { sql, bindings } = given.toSQL();
  return client.raw(rewrite(sql), bindings as Knex.RawBinding[]);
}
