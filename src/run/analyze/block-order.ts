import { formatBytes } from '../../core/values/numbers.ts';
import { type Survey, matchingOf } from '../../core/size/survey.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import type { Session } from '../../postgres/session.ts';

// A page with one row to change is read and written once in either order.
const worthPerPage = 2;

// Below this most pages are found in the cache, and an update in key order is more often a HOT one: there is room in
// its page again by then. 400,000 rows in 3 times the cache, disk as fast as memory: row by row 0.7 of the time of key order,
// set-based as long, with 1.4 times the WAL.
const worthSize = 2;

/**
 * Why going over a table in the order in which its rows are stored pays for a select that drains, in a sentence; null
 * where it does not. In the order of random keys each row is on another page: if the pages do not stay in
 * `shared_buffers`, each costs a read and, after a checkpoint, a full page in the WAL. By the sample of the table, not by the
 * planner's statistics, which may be old or missing.
 */
export async function whyBlockOrderPays(
  session: Session,
  { oid, name, key: [first], blocks }: BaseTable,
  survey: Survey | undefined,
): Promise<string | null> {
  const matching = matchingOf(survey) ?? 0;
  if (survey?.isShuffled !== true || matching < blocks * worthPerPage) return null;
  const { rows } = await session.query(
    `select pg_catalog.pg_relation_size($1::pg_catalog.oid)::pg_catalog.float8 as bytes,
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('shared_buffers'))::pg_catalog.float8 as buffers`,
    [oid],
  );
  const { bytes, buffers } = rows[0] as Readonly<Record<'bytes' | 'buffers', number>>;
  if (bytes <= buffers * worthSize) return null;
  const each = Math.round(matching / Math.max(blocks, 1));
  return `"${name}" (${formatBytes(bytes)}) is more than twice as large as shared_buffers (${formatBytes(buffers)}), its rows are not stored in the order of "${first?.name}", and about ${each} rows of each page match`;
}
