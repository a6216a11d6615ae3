/** What may be asked of a migrator, and what it answers. */
import type { Progress } from '../../core/progress/progress.ts';

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
  /** Run nothing: wait until other hosts have run it. */
  readonly wait?: boolean;
  /** Where another host is at work: `leave` rejects with STOPPED. Default: join it. */
  readonly others?: 'join' | 'leave';
}

export interface DownOptions {
  readonly to?: string | 0;
  readonly step?: number;
  readonly names?: readonly string[];
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
}

export interface MigratorEvents {
  progress: [Progress];
  migrating: [MigrationRef];
  migrated: [MigrationRef];
  reverting: [MigrationRef];
  reverted: [MigrationRef];
}
