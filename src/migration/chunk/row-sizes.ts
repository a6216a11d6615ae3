import { quote } from '../../core/values/quote.ts';
import type { Statement } from '../key/sql.ts';

/**
 * How large the next rows are, before any of them is read: Postgres knows the size of a value that is stored
 * out of line without fetching it. Without this a chunk that was small so far could meet a thousand documents.
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

/**
 * The key of the last of the first rows of `ordered` that fit into `maxBytes` together; at least the first row.
 * One row with `key text[]` and `rows`, or none. `ordered` has the author's columns first, then `key.column`, of
 * which `key.list` makes the `text[]`.
 */
export function lastFitting(
  ordered: Statement,
  key: { readonly column: string; readonly list: string },
  sizes: readonly ColumnSize[],
  maxBytes: number,
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
  return {
    text: `select sized.key, sized.n as rows
      from (select ${key.list} as key, pg_catalog.row_number() over () as n,
                   pg_catalog.sum((${bytes.join(' operator(pg_catalog.+) ')})::pg_catalog.int8) over (rows unbounded preceding) as bytes
            from (${ordered.text}) as q (${[...names, quote(key.column)].join(', ')})) as sized
      where sized.n operator(pg_catalog.=) 1 or sized.bytes operator(pg_catalog.<=) $${ordered.values.length + 1}::pg_catalog.int8
      order by sized.n desc
      limit 1`,
    values: [...ordered.values, maxBytes],
  };
}
