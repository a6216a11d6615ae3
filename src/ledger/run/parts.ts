import type { BaseTable, Key } from '../../migration/key/key.ts';
import { isAtMost } from '../../migration/key/sql.ts';
import { LedgerPart } from '../part.ts';
import { isUnparked } from '../shared-sql.ts';
import { type Range, toRange } from './rows.ts';

/** Where a part of the keys lies: behind `after`, up to `upTo`; null: from the start, to the end. */
export interface PartBounds {
  readonly after: Key | null;
  readonly upTo: Key | null;
}

// Ranges of blocks, of a pass that is not gone over any more, have no keys to compare.
const byKey = (condition: string): string => `case p.space when 'keys' then ${condition} else false end`;
const from = 'coalesce(p.cursor, p.lo)';

/** What of a run is open for now, where `up --limit` is to stay in a part of its keys: the rest is parked until the next `up`. */
export class Parts extends LedgerPart {
  /** Locks the open range that has rows on both sides of a key; null where none has. */
  async lockAround(
    runId: string,
    base: BaseTable,
    key: Key,
  ): Promise<(Range & { readonly at: number; readonly estimated: number }) | null> {
    const isBehind = `(${from} is null or not (${isAtMost('$2::text[]', from, base)}))`;
    const result = await this.session.query(
      `select no, space, lo, hi, cursor, max_rows, open_claims, at, estimated from ${this.names.ranges} as p
       where run_id = $1::bigint and state = 'open'
         and ${byKey(`${isBehind} and not (${isAtMost('p.hi', '$2::text[]', base)})`)}
       for update -- waits for its chunk, with lock_timeout`,
      [runId, key],
    );
    const row = result.rows[0];
    if (row === undefined) return null;
    return { ...toRange(row), at: row.at as number, estimated: row.estimated as number };
  }

  /** Parks the open ranges outside of the bounds, each of which lies on one side of them; null: all of them. */
  async park(runId: string, base: BaseTable, bounds: PartBounds | null): Promise<void> {
    const isBehind = `($2::text[] is null or ${from} is not null and ${isAtMost('$2::text[]', from, base)})`;
    const isBefore = `($3::text[] is null or ${isAtMost('p.hi', '$3::text[]', base)})`;
    await this.session.query(
      `update ${this.names.ranges} as p set next_try = 'infinity', worker = null
       where run_id = $1::bigint and state = 'open' and ${byKey(`not ($4::boolean and ${isBehind} and ${isBefore})`)}`,
      [runId, bounds?.after ?? null, bounds?.upTo ?? null, bounds !== null],
    );
  }

  /** Opens what was parked again. */
  async unpark(runId: string): Promise<void> {
    await this.session.query(
      `update ${this.names.ranges} set next_try = '-infinity'
       where run_id = $1::bigint and state = 'open' and not ${isUnparked}`,
      [runId],
    );
  }
}
