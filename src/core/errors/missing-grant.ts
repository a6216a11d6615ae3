/** What to do about SQLSTATE 42501 of the ledger: SQL to paste, where its message tells enough. */
export function missingGrant(message: string, role: string): string {
  const schema = /permission denied for schema (.+)$/.exec(message)?.[1];
  if (schema === undefined)
    return `grant it to role ${quoted(role)}; docs/operating.md lists all the grants it needs`;
  const [its, to] = [quoted(schema), quoted(role)];
  return `run as the role that owns the schema, or, as that role, run: grant usage on schema ${its} to ${to}; grant select, insert, update, delete on all tables in schema ${its} to ${to}`;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
