import { quote } from '../../core/values/quote.ts';
import type { Knex } from 'knex';
import { hidden } from './rows.ts';
import type { Statement } from '../key/sql.ts';

/**
 * How large the next rows are, before any of them is read: Postgres knows the size of a value that is stored
 * out of line without fetching it. Without this a chunk that was small so far could meet a thousand documents. And what
 * they weigh, where the author says so: one row may stand for many of another table.
 */

/** How a column's size is found: `text` exactly, `packed` by what is stored, `fixed` not at all: it is small. */
export type ColumnSize = 'text' | 'packed' | 'fixed';

/** A column as the server describes it. */
export interface Field {
  readonly dataTypeID: number;
  /** Bytes, -1: of varying length. */
  readonly dataTypeSize: number;
}

// text, varchar, char(n), bytea: types whose full length is known where they are stored compressed too.
const exact: ReadonlySet<number> = new Set([25, 1043, 1042, 17]);

// What Postgres's compression makes of documents: 3 to 5 times smaller.
const packing = 4;

/** How the sizes of these columns are found. */
export function sizesOf(fields: readonly Field[]): readonly ColumnSize[] {
  return fields.map(({ dataTypeID, dataTypeSize }) => {
    if (dataTypeSize !== -1) return 'fixed';
    return exact.has(dataTypeID) ? 'text' : 'packed';
  });
}

/** Where the weight of a row is: the number of an author's column, or a query for each row. */
export type WeighedBy = number | Pick<Knex.Raw, 'toSQL'>;

/** How large the rows of a chunk may be together, and what they may weigh. */
export interface RowBound {
  /** Of all selected columns. */
  readonly sizes: readonly ColumnSize[];
  readonly maxBytes: number;
  /** `most`: for all rows, of which each weighs at least 1. Null: each weighs 1, and all are as many as there may be. */
  readonly weight: { readonly by: WeighedBy; readonly most: number } | null;
}

/**
 * The key of the last of the first rows of `ordered` that fit into a bound together; at least the first row. One row
 * with `key text[]`, their `weight` and whether there are `more`; or none. `ordered` has the author's columns
 * first, then `key.column`, of which `key.list` makes the `text[]`, then the weight where it is a query. It is read no
 * further than to the first row that does not fit: a weight may be the count of a thousand rows.
 */
export function lastFitting(
  ordered: Statement,
  key: { readonly column: string; readonly list: string },
  { sizes, maxBytes, weight }: RowBound,
): Statement {
  const names = sizes.map((_, index) => `c${index}`);
  const bytes = sizes.flatMap((size, index) => {
    if (size === 'fixed') return [];
    if (size === 'text') return [`coalesce(pg_catalog.octet_length(q.c${index}), 0)`];
    return [
      `coalesce(pg_catalog.pg_column_size(q.c${index})
        operator(pg_catalog.*) case when pg_catalog.pg_column_compression(q.c${index}) is null then 1 else ${packing} end, 0)`,
    ];
  });
  const columns = [...names, quote(key.column)];
  if (typeof weight?.by === 'object') columns.push(quote(hidden.weight));
  const by = typeof weight?.by === 'number' ? `c${weight.by}` : quote(hidden.weight);
  const weighed = weight === null ? '1' : `greatest(coalesce(q.${by}::pg_catalog.int8, 1), 1)`;
  const plus = 'operator(pg_catalog.+)';
  const size = bytes.length === 0 ? '0' : bytes.join(` ${plus} `);
  const beyond = (sum: string, next: string, most: number): string =>
    `sized.${sum} ${plus} sized.${next} operator(pg_catalog.>) $${ordered.values.length + most}::pg_catalog.int8`;
  return {
    // With offset 0 each row is measured once, not for each of its sums.
    text: `select sized.key, sized.weight::pg_catalog.float8 as weight, sized.next_weight is not null as more
      from (select q.key, pg_catalog.sum(q.bytes) over w as bytes,
                   pg_catalog.sum(q.weight) over w as weight, pg_catalog.lead(q.bytes) over w as next_bytes,
                   pg_catalog.lead(q.weight) over w as next_weight
            from (select ${key.list} as key, (${size})::pg_catalog.int8 as bytes, (${weighed})::pg_catalog.int8 as weight
                  from (${ordered.text}) as q (${columns.join(', ')}) offset 0) as q
            window w as (rows unbounded preceding)) as sized
      where sized.next_weight is null or ${beyond('bytes', 'next_bytes', 1)} or ${beyond('weight', 'next_weight', 2)}
      limit 1`,
    values: [...ordered.values, maxBytes, weight?.most ?? Number.MAX_SAFE_INTEGER],
  };
}
