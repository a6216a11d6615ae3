import { quote } from '../values/quote.ts';

/** What to do about SQLSTATE 42501 of the ledger: SQL to paste, where its message tells enough. */
export function ledgerGrant(message: string, role: string): string {
  const schema = /permission denied for schema (.+)$/.exec(message)?.[1];
  if (schema === undefined)
    return `grant it to role ${quote(role)}; docs/operating.md lists all the grants it needs`;
  const [its, to] = [quote(schema), quote(role)];
  return `run as the role that owns the schema, or, as that role, run: grant usage on schema ${its} to ${to}; grant select, insert, update, delete on all tables in schema ${its} to ${to}`;
}

const rights: Readonly<Record<string, string>> = {
  table: 'select on',
  view: 'select on',
  sequence: 'usage on sequence',
  schema: 'usage on schema',
  function: 'execute on function',
};

/** The grant that is missing, as SQL, where the server's message names what for. */
export function selectGrant(message: string, role: string): string {
  const [, kind = '', name = ''] = /permission denied for (\w+) (.+)$/.exec(message) ?? [];
  const right = rights[kind];
  return right === undefined ? `grant ${role} what select reads` : `grant ${right} ${name} to ${role}`;
}
