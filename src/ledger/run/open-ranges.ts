import type { Session } from '../../postgres/session.ts';
import type { Key } from './rows.ts';
import type { LedgerNames } from '../schema.ts';

/** What is left of the open ranges of keys of a run, at most `most` of them; locks nothing. */
export async function openParts(
  session: Session,
  names: LedgerNames,
  runId: string,
  most: number,
): Promise<readonly { readonly after: Key | null; readonly upTo: Key }[]> {
  const { rows } = await session.query(
    `select coalesce(cursor, lo) as after, hi from ${names.ranges}
     where run_id = $1::bigint and state = 'open' and space = 'keys'
     order by estimated desc, no
     limit $2::integer`,
    [runId, most],
  );
  return rows.map((row) => ({ after: row['after'] as Key | null, upTo: row['hi'] as Key }));
}
