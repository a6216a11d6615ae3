/** What may be asked of a migrator, and what it answers. */
import { fail } from '../../errors.ts';
import type { Progress } from '../../core/progress/progress.ts';
import type { KeyPart } from '../../ledger/run/controls.ts';
import type { Conflict } from '../../ledger/run/conflicts.ts';

export interface MigrationRef {
  readonly name: string;
  readonly path: string;
}

export interface UpOptions {
  readonly to?: string;
  readonly step?: number;
  readonly names?: readonly string[];
  readonly rerun?: 'THROW' | 'SKIP' | 'ALLOW';
  readonly allowOutOfOrder?: boolean;
  /** Leave these paused or cancelled migrations as they are, and run what comes after them. */
  readonly past?: readonly string[];
  /** Run files, too, that another tool has recorded as executed in this database. */
  readonly runRecorded?: boolean;
  readonly strict?: boolean;
  /** Stop after so many rows, of all migrations together, with STOPPED; the next `up` continues. Alone: others are left alone. */
  readonly limit?: number;
  /**
   * With `limit`: none but rows from the first key that has these values in its columns on, as text, in their order; the
   * last columns may be left out. Those before it are left to the next `up`.
   */
  readonly fromKey?: readonly string[];
  /** The same: up to the last key that has these values. */
  readonly toKey?: readonly string[];
  /** Run nothing: wait until other hosts have run it. */
  readonly wait?: boolean;
  /** Where another host is at work: `leave` rejects with STOPPED. Default: join it. */
  readonly others?: 'join' | 'leave';
}

/** The part of the keys that `up` is to keep to; null: none. Throws where nothing says after how many rows it stops. */
export function keyPartOf({ fromKey, toKey, limit }: UpOptions): KeyPart | null {
  if (fromKey === undefined && toKey === undefined) return null;
  if (limit !== undefined) return { from: fromKey ?? null, to: toKey ?? null };
  throw fail('USAGE', {
    message: '--from-key and --to-key need --limit',
    detail: 'all rows of a migration are processed in the end; a part of them is a canary',
    hint: 'say after how many rows to stop: umzug-cluster up --limit 1000 --from-key KEY --to-key KEY',
  });
}

export interface DownOptions {
  readonly to?: string | 0;
  readonly step?: number;
  readonly names?: readonly string[];
  /** Restore what runs with `options.undo` have stored, also where the file has a `down`. */
  readonly images?: boolean;
  /** The same, also for rows that were changed since. */
  readonly overwrite?: boolean;
  /** Is told what would be reverted, before anything is; where it rejects, nothing is. Default: nobody is asked. */
  readonly confirm?: (targets: readonly RevertTarget[], signal: AbortSignal) => Promise<void>;
}

/** What `down` would revert. */
export interface RevertTarget {
  readonly name: string;
  readonly kind: 'data' | 'schema';
  /** Rows that its latest run has migrated. */
  readonly rows: number;
  readonly quarantined: number;
  /** How long its `up` took, from start to end; null: it did not end, or that is not known. */
  readonly upMs: number | null;
  /** Its rollback has started and is not finished. */
  readonly isBegun: boolean;
  /** By what its run has stored. */
  readonly isRestored: boolean;
}

/** What became of one migration. `rows` and `chunks` are those of the whole run, on all hosts. */
export interface MigrationOutcome {
  readonly name: string;
  readonly kind: 'data' | 'schema';
  readonly direction: 'up' | 'down';
  readonly rows: number;
  /** Those of them that were done before this command began: it has resumed or joined a run. */
  readonly rowsBefore: number;
  /**
   * Rows that `update` has changed in the meantime, in any table, as its statements say; null: not known, since other hosts
   * have taken part, or a worker died before it could tell.
   */
  readonly changed: number | null;
  /** The share of HOT updates among those of the table, 0 to 1; null: there were none, or it is not known, as of `changed`. */
  readonly hotShare: number | null;
  readonly chunks: number;
  /** Chunks that were tried again for what passes: lost connections, deadlocks, timeouts. */
  readonly retries: number;
  readonly durationMs: number;
  /** The file has a `down`. */
  readonly hasDown: boolean;
  /**
   * Rows that a data migration has left behind when it had ended: inserted behind the run, or as they were. Null:
   * nobody knows, since `select` keeps matching what was migrated, or counting took too long; and on the way down.
   */
  readonly left: number | null;
  /**
   * Of a rollback by stored values: rows that were restored, those that were left as they are, since they were changed after
   * the migration, those that are gone, and the first of both. Null: of anything else.
   */
  readonly restored: {
    readonly rows: number;
    readonly leftAlone: number;
    readonly gone: number;
    readonly conflicts: readonly Conflict[];
  } | null;
}

export interface MigratorEvents {
  progress: [Progress];
  migrating: [MigrationRef];
  migrated: [MigrationRef];
  reverting: [MigrationRef];
  reverted: [MigrationRef];
}
