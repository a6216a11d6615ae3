import { type ChunkRange, pickKeys } from './queries.ts';
import type { BaseTable } from '../key/key.ts';
import type { Statement } from '../key/sql.ts';
import type { SelectShape } from '../select/shape.ts';

/** The key of the last of the next `limit` rows of any select: no row where it has fewer, or one with `key`. */
export function nthRow(shape: SelectShape, base: BaseTable, range: ChunkRange): Statement {
  const { text, values } = pickKeys(shape, base, range);
  return {
    text: `select nth.key from (${text}) as nth offset $${values.length + 1}::pg_catalog.int8`,
    values: [...values, range.limit - 1],
  };
}
