import { type NamingClient, databaseName } from './identifier.ts';

/**
 * UPDATEs whose columns are known, since they were given to knex's builder or to `updateRows`, and not as text.
 * They are noted by the compiled statement, which knex hands on to the connection as the same object.
 */
const columnsByStatement = new WeakMap<object, readonly string[]>();

/** Says which columns, by their names in the database, a statement sets. */
export function noteUpdate(statement: object, columns: readonly string[]): void {
  columnsByStatement.set(statement, columns);
}

/** The columns that a statement sets; undefined where it is no UPDATE, or not known. */
export function updatedColumns(statement: object): readonly string[] | undefined {
  return columnsByStatement.get(statement);
}

interface Update {
  readonly client: NamingClient;
  readonly _method: string;
  readonly _single: { readonly update?: object; readonly counter?: object };
  queryContext(): unknown;
}

/** Notes what a builder of knex's updates, once it is compiled. Reads its private fields. */
export function noteBuilder(builder: object, compiled: { readonly sql?: unknown }): void {
  const { client, _method, _single } = builder as Update;
  // With a CTE before it, it may write elsewhere.
  if (_method !== 'update' || typeof compiled.sql !== 'string' || !compiled.sql.startsWith('update "'))
    return;
  const written = Object.keys({ ..._single.update, ..._single.counter });
  if (written.some((name) => name.includes('.'))) return;
  const context = (builder as Update).queryContext();
  noteUpdate(
    compiled,
    written.map((name) => databaseName(client, name, context)),
  );
}
