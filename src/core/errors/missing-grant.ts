/** What to do about SQLSTATE 42501 of the ledger: SQL to paste, where its message tells enough. */
export function missingGrant(message: string, role: string): string {
  const schema = /permission denied for schema (.+)$/.exec(message)?.[1];
  if (schema === undefined)
    return `give role ${quoted(role)} the right; docs/operating.md lists all that it needs`;
  const [its, to] = [quoted(schema), quoted(role)];
  return `run as the role that owns the schema, or as that role: grant usage on schema ${its} to ${to}; grant select, insert, update, delete on all tables in schema ${its} to ${to}`;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
