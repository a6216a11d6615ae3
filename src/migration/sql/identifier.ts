/** The part of a knex client that knows how the application names things. */
export interface NamingClient {
  wrapIdentifier(name: string, context: unknown): string;
}

/** The name in the database for what author code writes: the application's `wrapIdentifier` may rename it. */
export function databaseName(client: NamingClient, written: string, context?: unknown): string {
  const wrapped = client.wrapIdentifier(written.trim(), context);
  return /^".*"$/s.test(wrapped) ? wrapped.slice(1, -1).replaceAll('""', '"') : wrapped;
}
