import { quote } from '../../core/values/quote.ts';
import { fail } from '../../errors.ts';
import type { Session } from '../../postgres/session.ts';
import { authorSearchPath, emptySearchPath, inOrder } from '../../postgres/transaction.ts';
import { columnsSql, nameSql, relationSql } from './catalog-sql.ts';
import type { BaseTable, KeyColumn } from '../key/key.ts';
import { type AskedGroups, chooseGroups } from './group-choice.ts';
import { type Column, type ReadText, chooseKey } from './key-choice.ts';
import type { SelectedTable } from '../select/shape.ts';

/**
 * Runs a statement; every column is text in the SQL, so the type parsers in force do not matter. `under` the author's
 * search path only where a name is to be looked up in it.
 */
export type QueryFn = (
  text: string,
  values?: readonly unknown[],
  under?: 'author',
) => Promise<{ readonly rows: Record<string, unknown>[] }>;

/**
 * Asks the catalog in a transaction in which the author's search path is in force. Operators, functions and types that
 * somebody has planted in that are not found, whatever a statement names without its schema.
 */
export function catalogOf(session: Session, searchPath: readonly string[] | null): QueryFn {
  return async (text, values, under) => {
    if (under === 'author') return await session.query(text, values);
    const path = authorSearchPath(searchPath);
    const sent = [session.query(emptySearchPath), session.query(text, values), session.query(path)] as const;
    return (await inOrder(sent))[1];
  };
}

type Row = Readonly<Record<string, string | null>>;

const refusedKinds: Readonly<Record<string, string>> = {
  v: 'a view: select from its table',
  m: 'a materialized view: it is refreshed, not updated',
  f: 'a foreign table: its rows cannot be locked here',
  S: 'a sequence',
  c: 'a composite type',
  t: 'a TOAST table',
  i: 'an index',
  I: 'an index',
};

/**
 * Finds the table under the present search path, and the key that identifies and orders its rows. Throws
 * SELECT_REFUSED or PERMISSION with what to do.
 */
export async function resolveBaseTable(
  query: QueryFn,
  table: SelectedTable,
  keyOption: readonly string[] | undefined,
  groups?: AskedGroups,
): Promise<BaseTable> {
  const label = [table.schema, table.name].filter((part) => part !== null).join('.');
  const written = [table.schema, table.name]
    .filter((part) => part !== null)
    .map(quote)
    .join('.');
  const read: ReadText = async (text, values) => (await query(text, values)).rows as Row[];
  const author: ReadText = async (text, values) => (await query(text, values, 'author')).rows as Row[];
  const { oid: named, path } = ((await author(nameSql, [written]))[0] ?? {}) as Row;
  const [found] = named == null ? [] : await read(relationSql, [named]);
  if (found?.['oid'] == null) {
    throw refuse(
      `table "${label}" does not exist`,
      `search_path is ${path ?? ''}`,
      'check its name and schema',
    );
  }
  refuseRelation(label, found, table.only);
  const oid = found['oid'];
  const columns = (await read(columnsSql, [oid])).map(toColumn);
  const [schema, name] = [found['schema'] ?? '', found['name'] ?? ''];
  const key = await (groups === undefined
    ? chooseKey(read, { oid, label }, columns, keyOption)
    : chooseGroups({ read, author, toColumn }, { oid, label, schema, name }, columns, groups));
  return {
    oid,
    schema,
    name,
    ...(groups === undefined ? {} : { isGrouped: true }),
    ...(table.only ? { only: true } : {}),
    key: key.map(withoutNull),
    ...(found['kind'] === 'p' ? { isPartitioned: true } : {}),
    ...(found['has_large'] === 'true' ? { hasLargeValues: true } : {}),
    blocks: Number(found['blocks']),
    estimatedRows: Math.round(Number(found['rows'])),
    bytes: Number(found['bytes']),
  };
}

function toColumn(row: Row): Column {
  const { operators, made_from: madeFrom } = row;
  return {
    name: row['name'] ?? '',
    type: `${quote(row['type_schema'] ?? '')}.${quote(row['type_name'] ?? '')}`,
    ...(row['is_domain'] === 'true' ? { isDomain: true } : {}),
    attnum: Number(row['attnum']),
    collation: row['collation'] ?? '0',
    ...(operators == null ? {} : { operators: JSON.parse(operators) as Required<KeyColumn>['operators'] }),
    ...(madeFrom == null ? {} : { madeFrom: JSON.parse(madeFrom) as string[] }),
    notNull: row['not_null'] === 'true',
  };
}

function withoutNull({ notNull: _notNull, ...column }: Column): KeyColumn {
  return column;
}

function refuseRelation(label: string, row: Row, only: boolean): void {
  const isSystem = ['pg_catalog', 'information_schema', 'pg_toast'].includes(row['schema'] ?? '');
  const why = isSystem
    ? 'a system catalog'
    : row['persistence'] === 't'
      ? 'a temporary table: other workers cannot see it'
      : refusedKinds[row['kind'] ?? ''];
  if (why !== undefined) throw refuse(`"${label}" cannot be migrated: it is ${why}`);
  if (row['has_foreign'] === 'true') {
    throw refuse(
      `"${label}" cannot be migrated: it has a partition that is a foreign table`,
      'its rows cannot be locked here, or change in one transaction with the ledger',
      'migrate each of its other partitions separately',
    );
  }
  if (only && row['kind'] === 'p') {
    throw refuse(`"${label}" is partitioned and has no rows of its own: leave out only: true`);
  }
  if (!only && row['has_children'] === 'true') {
    throw refuse(
      `"${label}" cannot be migrated: tables inherit from it`,
      'its key is not unique across them',
      `select its own rows with db('${label}', { only: true }), and migrate each of the others by itself`,
    );
  }
  refuseForRole(label, row);
}

function refuseForRole(label: string, row: Row): void {
  const role = quote(row['role'] ?? '');
  if (row['may_select'] !== 'true' || row['may_write'] !== 'true') {
    throw fail('PERMISSION', {
      message: `no permission to ${row['may_select'] === 'true' ? 'update' : 'select from'} "${label}"`,
      hint: `grant select, update on ${quote(row['schema'] ?? '')}.${quote(row['name'] ?? '')} to ${role}`,
    });
  }
  if (row['hides_rows'] !== 'true') return;
  throw fail('PERMISSION', {
    message: `row-level security hides rows of "${label}" from ${role}`,
    detail: 'the migration would silently skip rows and still be marked as done',
    hint: `run as a role that sees all rows: the table's owner (unless it is forced on the owner too), or: alter role ${role} bypassrls`,
  });
}

function refuse(message: string, detail?: string, hint?: string): Error {
  return fail('SELECT_REFUSED', { message, detail, hint });
}
