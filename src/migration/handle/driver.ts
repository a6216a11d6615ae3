/** A statement as knex hands it to a client. */
export interface QueryObject {
  sql: string;
  bindings?: readonly unknown[];
  options?: Readonly<Record<string, unknown>>;
  response?: unknown;
}

/** What the handle of a chunk does, seen from knex or from another library. */
export interface ChunkDriver {
  /** Statements run in a transaction: nested ones are savepoints. */
  readonly transacting: boolean;
  /** Throws where the statement must not run. */
  check(sql: string, bindings: readonly unknown[]): void;
  run(query: QueryObject): Promise<unknown>;
  /** Notes and makes the error for something that a migration must not do. */
  refuse(message: string, hint: string): Error;
  /** Called where author code makes a query, a raw text or a change of the schema. */
  made?(builder: object): void;
}
