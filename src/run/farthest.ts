import type { Key } from '../ledger/rows.ts';
import { keyAtOffset } from '../migration/key-queries.ts';
import type { BaseTable } from '../migration/key.ts';
import type { Session } from '../postgres/session.ts';

/** Where a chunk ends at the latest, however few of its rows match. */
export interface Farthest {
  readonly upTo: Key;
  /** That is where its range ends. */
  readonly isLast: boolean;
}

/**
 * The `keys`-th key of a range, found on the key's index alone, without the author's conditions; the range's end
 * where it has fewer, or where `keys` is null.
 */
export async function farthest(
  session: Session,
  base: BaseTable,
  { after, hi }: { readonly after: Key | null; readonly hi: Key },
  keys: number | null,
): Promise<Farthest> {
  if (keys === null) return { upTo: hi, isLast: true };
  const probe = keyAtOffset(base, after, hi, keys - 1);
  const found = (await session.query(probe.text, probe.values)).rows[0]?.['key'] as Key | undefined;
  return { upTo: found ?? hi, isLast: found === undefined };
}
