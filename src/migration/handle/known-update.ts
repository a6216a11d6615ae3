import { BuilderParts } from '../sql/knex-private.ts';
import { isConfined } from './confined.ts';
import { type NamingClient, databaseName } from '../sql/identifier.ts';
import { chosen } from '../key/sql.ts';

/**
 * Statements of which it is known what they write, since that was given to knex's builder or to `updateRows`, and
 * not as text. They are noted by the compiled statement, which knex hands on to the connection as the same object.
 */
const knownStatements = new WeakMap<object, KnownUpdate>();

/** What a statement writes. */
export interface KnownUpdate {
  /** The table as it is written in SQL, quoted: `"t"` or `"schema"."t"`; null: it writes nothing. */
  readonly table: string | null;
  /** What it sets, by names in the database. */
  readonly columns: readonly string[];
  /** It is the update of a set-based chunk itself: each row that it writes is one of the chunk's. */
  readonly isChunk?: boolean;
  /** How many rows it was given, where each of them should be there. */
  readonly given?: number | undefined;
}

export const writesNothing: KnownUpdate = { table: null, columns: [] };

/** Says what a statement writes. */
export function noteUpdate(statement: object, update: KnownUpdate): void {
  knownStatements.set(statement, update);
}

/** What a statement writes; undefined where that is not known. */
export function knownUpdate(statement: object): KnownUpdate | undefined {
  return knownStatements.get(statement);
}

interface Update {
  readonly client: NamingClient;
  queryContext(): unknown;
}

// With a CTE before it, it may write elsewhere.
const updatedTable = /^update ("(?:[^"]|"")+"(?:\."(?:[^"]|"")+")?) (?:as|set) /;

/** Notes what a builder of knex's updates, once it is compiled. */
export function noteBuilder(builder: object, compiled: { readonly sql?: unknown }): void {
  const { client } = builder as Update;
  const { method, single } = new BuilderParts(builder);
  if (method !== 'update' || typeof compiled.sql !== 'string') return;
  const table = updatedTable.exec(compiled.sql)?.[1];
  const written = Object.keys({ ...(single['update'] as object), ...(single['counter'] as object) });
  if (table === undefined || written.some((name) => name.includes('.'))) return;
  // Rows of a query beside it may come more than once.
  if (compiled.sql.includes(chosen)) return;
  const context = (builder as Update).queryContext();
  const columns = written.map((name) => databaseName(client, name, context));
  noteUpdate(compiled, { table, columns, isChunk: isConfined(builder) });
}
