import { fail } from '../../errors.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import type { Keys } from '../../migration/key/list.ts';
import { countKeys } from '../../migration/key/queries.ts';
import type { Written } from '../../migration/handle/written.ts';
import type { Session } from '../../postgres/session.ts';
import type { WriteCounters } from './write-counters.ts';

/** The locked keys of a chunk, and what the server had counted before its `update` ran. */
export interface LockedKeys {
  readonly keys: Keys;
  /** How statements name the base table for certain; an unqualified name is no other table's where select uses it. */
  readonly names: readonly string[];
  readonly before: WriteCounters;
}

/**
 * How many of the keys are still there. It need not look where all statements are known to update the base table
 * alone and no column of its key, and the server has counted as many rows updated as they wrote, and none deleted:
 * then no trigger, function or cascade has written either. `counters`: as they are after `update`. Counting the keys
 * again took a quarter of a row-style run's time on the server (500,000 rows by uuid: 3.0 of 12.4 s); asking for
 * the counters takes 0.2 ms a chunk.
 */
export async function countKept(
  session: Session,
  base: BaseTable,
  { keys, names, before }: LockedKeys,
  { written, counters }: { readonly written: Written; readonly counters: Promise<WriteCounters> },
): Promise<number> {
  if (keys.length === 0) return 0;
  const isLikely =
    written.updated !== null &&
    written.updated >= keys.length &&
    written.tables.every((table) => names.includes(table)) &&
    !setsKey(written, base);
  if (isLikely) {
    const { updated, deleted, isCounted, isRewritten } = await counters;
    const isAll = updated - before.updated === written.updated && deleted === before.deleted;
    if (isCounted && !isRewritten && isAll) return keys.length;
  }
  const counting = countKeys(base, keys);
  return Number((await session.query(counting.text, counting.values)).rows[0]?.['count']);
}

/** Whether a column of the key is among those that are set, or one that it is generated from. */
export function setsKey({ columns }: Pick<Written, 'columns'>, base: BaseTable): boolean {
  return base.key.some(({ name, madeFrom = [] }) => [name, ...madeFrom].some((one) => columns.includes(one)));
}

/** Refuses an `update` after which so many of its rows' keys are not there any more. */
export function refuseMovedKeys(name: string, moved: number): void {
  if (moved === 0) return;
  throw fail('MIGRATION_FAILED', {
    message: `${name}: update moved or deleted ${moved} of its rows' keys`,
    hint: 'set options.key to a key that update does not change, or set options.allowDelete',
  });
}
