import type { Knex } from 'knex';
import type { BaseTable } from './key.ts';
import { comparedColumns, operator, quote, tableName } from './key-sql.ts';
import { escapeMarks } from './marks.ts';
import type { SelectShape, WholeSelect } from './select-shape.ts';

const whole = '__umzug_select';

/**
 * A select that is taken as it stands, as one that begins with its base table: the select becomes a subquery
 * that is joined by the key. `keyAs`: the names under which it returns the key. Postgres sees through the
 * subquery, where it is as simple as a select has to be here, and walks the index of the key.
 */
export function joinedToBase(
  { builder, warnings }: WholeSelect,
  base: BaseTable,
  keyAs: readonly string[],
): SelectShape {
  const { client } = builder as unknown as { readonly client: Pick<Knex, 'raw' | 'queryBuilder'> };
  const { sql, bindings } = builder.toSQL();
  const same = base.key.map((column, index) => {
    const selected = { ...column, name: keyAs[index] ?? column.name };
    return `${comparedColumns(whole, [selected])} ${operator(column, '=')} ${comparedColumns(base.name, [column])}`;
  });
  const before = escapeMarks(`${tableName(base)} as ${quote(base.name)} inner join (`);
  const behind = escapeMarks(`) as ${quote(whole)} on ${same.join(' and ')}`);
  const joined: Knex.QueryBuilder = client.queryBuilder();
  const from = client.raw(`${before}${unended(sql)}${behind}`, bindings as Knex.RawBinding[]);
  // A query of raw fragments alone: an application's wrapIdentifier renames nothing in it.
  joined
    .from(from as never)
    .select(client.raw(`${quote(whole)}.*`))
    .queryContext(builder.queryContext());
  const table = { schema: base.schema, name: base.name, alias: base.name, only: base.only === true };
  return { kind: 'table', builder: joined, table, plain: false, warnings };
}

/** Without its final semicolon, and with an end to a comment at its end: ready to stand in parentheses. */
export function unended(sql: string): string {
  return `${sql.replace(/[;\s]+$/, '')}\n`;
}
