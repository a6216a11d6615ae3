import { BuilderParts } from '../sql/knex-private.ts';
import { isConfined } from './confined.ts';
import { type NamingClient, databaseName } from '../sql/identifier.ts';
import type { BaseTable } from '../key/key.ts';
import { chosen } from '../key/sql.ts';

const listed = Symbol.for('umzug-cluster.known-statements');

/**
 * Statements of which it is known what they write, since that was given to knex's builder or to a helper, and
 * not as text. They are noted by the compiled statement, which knex hands on to the connection as the same object. One list
 * for the process: a migration may load a copy of the package of its own, and its helpers with it.
 */
const shared = globalThis as { [listed]?: WeakMap<object, KnownUpdate> };
const knownStatements = (shared[listed] ??= new WeakMap<object, KnownUpdate>());

/** What a statement writes. */
export interface KnownUpdate {
  /** The table as it is written in SQL, quoted: `"t"` or `"schema"."t"`; null: it writes nothing. */
  readonly table: string | null;
  /** What it sets, by names in the database; null: it does not update, it deletes. */
  readonly columns: readonly string[] | null;
  /** It is the update or delete of a set-based chunk itself: each row that it writes is one of the chunk's. */
  readonly isChunk?: boolean;
  /** It inserts rows, of which each is found again by what is returned of it. */
  readonly inserts?: KnownInsert;
  /** Which rows that are there it may change or delete, where a helper made it. */
  readonly finds?: FoundRows;
  /** How many rows it was given, where each of them should be there. */
  readonly given?: number | undefined;
}

/** Rows of a table that a statement finds, in SQL with the placeholders of the statement. */
export interface FoundRows {
  readonly source: string;
  /** A condition on a row `t` and the source. */
  readonly where: string;
  /** The columns of these rows that it changes; null: it deletes them. */
  readonly columns: readonly string[] | null;
}

/** An insert, as far as it is to be told what it has inserted. */
export interface KnownInsert {
  /** What it returns to the author, after `returning`, and under which names; none: nothing. */
  readonly returning: string;
  readonly names: readonly string[];
  /** Rows that are there are updated. */
  readonly isMerge: boolean;
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

/** Whether a column of the key is among those that are set, or one that it is generated from. */
export function setsKey({ columns }: Pick<KnownUpdate, 'columns'>, base: BaseTable): boolean {
  return base.key.some(({ name, madeFrom = [] }) =>
    [name, ...madeFrom].some((one) => columns?.includes(one)),
  );
}

interface Update {
  readonly client: NamingClient;
  queryContext(): unknown;
}

// With a CTE before it, it may write elsewhere.
const updatedTable = /^update ("(?:[^"]|"")+"(?:\."(?:[^"]|"")+")?) (?:as|set) /;
const deletedTable = /^delete from ("(?:[^"]|"")+"(?:\."(?:[^"]|"")+")?)(?: |$)/;

/** Notes what a builder of knex's updates or deletes, once it is compiled. */
export function noteBuilder(builder: object, compiled: { readonly sql?: unknown }): void {
  const { client } = builder as Update;
  const { method, single } = new BuilderParts(builder);
  if (typeof compiled.sql !== 'string') return;
  if (method === 'del') {
    const table = deletedTable.exec(compiled.sql)?.[1];
    if (table !== undefined) noteUpdate(compiled, { table, columns: null, isChunk: isConfined(builder) });
    return;
  }
  if (method !== 'update') return;
  const table = updatedTable.exec(compiled.sql)?.[1];
  const written = Object.keys({ ...(single['update'] as object), ...(single['counter'] as object) });
  if (table === undefined || written.some((name) => name.includes('.'))) return;
  // Rows of a query beside it may come more than once.
  if (compiled.sql.includes(chosen)) return;
  const context = (builder as Update).queryContext();
  const columns = written.map((name) => databaseName(client, name, context));
  noteUpdate(compiled, { table, columns, isChunk: isConfined(builder) });
}
