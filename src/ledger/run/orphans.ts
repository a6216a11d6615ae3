import type { Session } from '../../postgres/session.ts';
import type { LedgerNames } from '../schema.ts';

/**
 * An SQL condition: a range belongs to a dead worker, by the beginnings of their names in the array `dead`. What has
 * failed or killed before is nothing to hurry for: it comes last.
 */
export const isOrphan = (dead: string): string =>
  `(stalls < 2 and attempts = 0
    and exists (select from pg_catalog.unnest(${dead}::text[]) as dead where pg_catalog.starts_with(worker, dead)))`;

/** Whether open ranges still belong to dead workers; the server may hold their locks until it notices the death. */
export async function hasOrphans(
  session: Session,
  names: LedgerNames,
  runId: string,
  dead: readonly string[],
): Promise<boolean> {
  const result = await session.query(
    `select exists (select from ${names.ranges}
                    where run_id = $1::bigint and state = 'open' and ${isOrphan('$2')}) as has_orphans`,
    [runId, dead],
  );
  return result.rows[0]?.['has_orphans'] === true;
}
