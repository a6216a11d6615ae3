import { UmzugClusterError, fail } from '../../errors.ts';
import { type QueryFn, resolveBaseTable } from './base-table.ts';
import type { BaseTable } from '../key/key.ts';

/** A column of a result, with the table column that it is, as Postgres says; 0 where it is an expression. */
export interface ResultColumn {
  readonly name: string;
  readonly tableID: number;
  readonly columnID: number;
}

/** The table whose rows a whole select returns, and the names under which it returns the table's key. */
export interface WholeBase {
  readonly base: BaseTable;
  readonly keyAs: readonly string[];
}

interface Table {
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
}

interface Candidate {
  readonly base: BaseTable;
  /** The name of each key column in the result; null where it is not there. */
  readonly keyAs: readonly (string | null)[];
}

const tablesSql = `
  select c.oid::text as oid, n.nspname::text as schema, c.relname::text as name
  from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where c.oid = any ($1::pg_catalog.oid[]) order by pg_catalog.array_position($1, c.oid)`;

/**
 * Finds the table of which the result has the whole key. Throws SELECT_REFUSED where there is none, or where
 * there are several and only one can be meant.
 */
export async function resolveWholeBase(
  query: QueryFn,
  columns: readonly ResultColumn[],
  keyOption: readonly string[] | undefined,
  file: string,
): Promise<WholeBase> {
  const oids = [...new Set(columns.map(({ tableID }) => tableID))].filter((oid) => oid !== 0);
  const { rows } = await query(tablesSql, [oids]);
  const tables = rows as unknown as Table[];
  const candidates: Candidate[] = [];
  let firstError: unknown = null;
  for (const table of tables) {
    try {
      const base = await resolveBaseTable(query, { ...table, alias: table.name, only: false }, keyOption);
      candidates.push({
        base,
        keyAs: base.key.map(({ attnum, name }) => nameOf(columns, base.oid, attnum, name)),
      });
    } catch (error) {
      // A table that is only joined need not be one whose rows can be migrated.
      if (!(error instanceof UmzugClusterError)) throw error;
      firstError ??= error;
    }
  }
  if (candidates.length === 0 && firstError !== null) throw firstError;
  const { base, keyAs } = chooseOne(candidates, file);
  for (const name of keyAs) refuseTwice(columns, name, tables, file);
  return { base, keyAs };
}

/** The column's own name where it is there, else the first that it is given. */
function nameOf(columns: readonly ResultColumn[], oid: string, attnum: number, own: string): string | null {
  const names = columns
    .filter(({ tableID, columnID }) => String(tableID) === oid && columnID === attnum)
    .map(({ name }) => name);
  return names.includes(own) ? own : (names[0] ?? null);
}

function chooseOne(candidates: readonly Candidate[], file: string): WholeBase {
  const complete = candidates.filter(isComplete);
  // Where the rows of a join have two keys, the one that has kept its name is meant.
  const own = complete.filter(({ base, keyAs }) =>
    base.key.every(({ name }, index) => keyAs[index] === name),
  );
  const [only] = complete.length === 1 ? complete : own;
  if (only !== undefined && (complete.length === 1 || own.length === 1)) return only;
  if (complete.length === 0) throw noKey(candidates, file);
  const names = complete.map(({ base }) => `"${base.name}"`).join(' and ');
  throw refuse(file, `select returns the keys of ${names}: it does not say whose rows are migrated`, {
    hint: 'leave out the other key, or rename it: other.id as other_id',
  });
}

function isComplete(candidate: Candidate): candidate is WholeBase {
  return candidate.keyAs.every((name) => name !== null);
}

function noKey(candidates: readonly Candidate[], file: string): Error {
  if (candidates.length === 0) {
    return refuse(file, 'select returns no column of a table as it is', {
      detail: 'migrated rows are identified by their key; a union or an expression hides it',
      hint: 'select the key column of the table whose rows are migrated',
    });
  }
  const keys = candidates.map(({ base }) => {
    const names = base.key.map(({ name }) => `"${name}"`);
    return `${names.length === 1 ? 'column' : 'columns'} ${names.join(', ')} of "${base.name}"`;
  });
  return refuse(file, `select must include the key ${keys.join(', or ')}`, {
    hint: 'umzug-cluster adds the key only if select starts from a named table',
  });
}

function refuseTwice(
  columns: readonly ResultColumn[],
  name: string,
  tables: readonly Table[],
  file: string,
): void {
  const same = columns.filter((column) => column.name === name);
  if (same.length === 1) return;
  const owners = same.map(({ tableID }) => {
    const owner = tables.find(({ oid }) => oid === String(tableID));
    return owner === undefined ? 'an expression' : `"${owner.name}"`;
  });
  throw refuse(file, `select returns ${same.length} columns "${name}", of ${owners.join(' and ')}`, {
    hint: `rename those that are not the key of the migrated table`,
  });
}

function refuse(
  file: string,
  message: string,
  rest: { readonly detail?: string; readonly hint: string },
): Error {
  return fail('SELECT_REFUSED', { message: `${file}: ${message}`, ...rest });
}
