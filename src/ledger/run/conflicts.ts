import { mostListed } from '../../core/values/numbers.ts';
import type { Key } from '../../migration/key/key.ts';
import { LedgerPart } from '../part.ts';

/**
 * Why a row was not restored. `changed`: its columns do not have the values any more that the migration wrote. `gone`: it
 * was deleted since. `exists`: it was deleted by the migration, and its key, or another unique value of it, is there again.
 */
export type ConflictReason = 'changed' | 'gone' | 'exists';

/** A row that a rollback has left as it is. */
export interface Conflict {
  readonly key: Key;
  /** Of a row that `insertRows` has added to another table, which; else null. */
  readonly table: string | null;
  readonly columns: readonly string[];
  readonly reason: ConflictReason;
}

/** The rows that a rollback by stored values did not restore. */
export interface Conflicts {
  readonly leftAlone: number;
  readonly gone: number;
  /** The first of both. */
  readonly rows: readonly Conflict[];
}

const conflictsSince = 4;

/** The table of rows that were not restored. */
export class ConflictList extends LedgerPart {
  /** Of one rollback. */
  async of(runId: string): Promise<Conflicts> {
    if (this.names.version < conflictsSince) return { leftAlone: 0, gone: 0, rows: [] };
    const { rows } = await this.session.query(
      `select relation, key, columns, reason, count(*) filter (where reason <> 'gone') over () as left_alone,
              count(*) filter (where reason = 'gone') over () as gone
       from ${this.names.conflicts} where run_id = $1::bigint order by reason = 'gone', relation nulls first, key limit $2`,
      [runId, mostListed],
    );
    return {
      leftAlone: Number(rows[0]?.['left_alone'] ?? 0),
      gone: Number(rows[0]?.['gone'] ?? 0),
      rows: rows.map((row) => ({
        key: row['key'] as Key,
        table: row['relation'] as string | null,
        columns: row['columns'] as readonly string[],
        reason: row['reason'] as ConflictReason,
      })),
    };
  }

  /** The latest rollbacks of migrations that were not run again since, where they have left rows as they are; by name. */
  async latest(): Promise<ReadonlyMap<string, Conflicts>> {
    if (this.names.version < conflictsSince) return new Map();
    const { rows } = await this.session.query(
      `select name, id::text from (
         select distinct on (name) name, id, direction from ${this.names.runs} order by name, ${this.names.runs}.id desc
       ) as r
       where direction = 'down' and exists (select from ${this.names.conflicts} as c where c.run_id = r.id)`,
    );
    const found = new Map<string, Conflicts>();
    for (const { name, id } of rows) found.set(String(name), await this.of(String(id)));
    return found;
  }
}
