import os from 'node:os';
import { usualLanes } from '../../core/size/lanes.ts';
import { planLines } from '../../core/plan/query-plan.ts';
import { rowBytesOf } from '../../core/size/survey.ts';
import type { RunEnvironment } from '../../run/context/environment.ts';
import type { Example } from '../../run/chunk/row-snapshots.ts';
import type { Plan } from '../../run/analyze/plan.ts';
import type { Outlook, Sample } from '../../run/dry-run/sample.ts';
import type { SchemaTrial } from '../../run/schema/schema-trial.ts';
import { type TableWrites, isPartOf } from '../../run/analyze/side-effects.ts';

/** Rows that match, and rows of the table, by a sample of its blocks. */
export interface PlannedRows {
  /** Null: not known. */
  readonly estimated: number | null;
  readonly table: number | null;
  /** The sample was the whole of them: they are counted. */
  readonly isCounted: boolean;
  readonly isTableCounted: boolean;
  /** Why the rows that match are not known, or null. */
  readonly why: string | null;
}

/** What `up` would do with one pending migration, or `down` with one to revert, as `plan --json` prints it. */
export interface MigrationPlan {
  readonly name: string;
  /** Null: the file cannot be loaded. */
  readonly kind: 'data' | 'schema' | null;
  /** Schema migrations that were tried in the same transaction: it is planned on what they have changed. */
  readonly after: readonly string[];
  /** Name of an earlier pending migration that has to run before this one can be planned, or null. */
  readonly blockedBy: string | null;
  /** Why else it could not be planned, or what showed that it is blocked; null: nothing more to say. */
  readonly unplanned: string | null;
  /** Of a schema migration that was tried: how long it took, which locks, what it sent; null: it was not. */
  readonly schema: SchemaTrial | null;
  /** The table whose rows it visits, and the key that orders them; null where neither is known. */
  readonly table: string | null;
  readonly key: readonly string[];
  /** The compiled `select`. */
  readonly select: string | null;
  readonly rows: PlannedRows;
  /** The run is started; what is planned is the rest. */
  readonly isBegun: boolean;
  readonly sample: SampleReport | null;
  readonly estimate: Estimate | null;
  /** What undo costs, and what it does not cover; null: the run has none, or nothing was sampled. */
  readonly undo: UndoReport | null;
  readonly warnings: readonly string[];
  /** In which order it goes over its table, and why, if it is not the usual one; null: not known. */
  readonly order: { readonly by: 'key' | 'physical'; readonly why: string | null } | null;
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly detail: string | null;
    readonly hint: string | null;
  } | null;
}

/** What undo costs a run, and what it would not restore. */
export interface UndoReport {
  /** Bytes of images, of each row and of all; null: not measured, or the number of rows is not known. */
  readonly bytesPerRow: number | null;
  readonly bytes: number | null;
  /** How many times as long the sample took with it as without. */
  readonly timesAsLong: number | null;
  /** Tables, by schema and name, with changes that are not kept: made neither of rows of select nor by insertRows. */
  readonly uncovered: readonly string[];
  /** Columns that only a trigger changes. */
  readonly unrestored: readonly string[];
}

/** What a run will take, by what its sample took. */
export interface Estimate {
  /** Seconds with one chunk at a time, as the sample was measured. */
  readonly secondsAtMost: number;
  /** Seconds if all lanes of all workers of this host ran at the sample's speed side by side. */
  readonly secondsAtLeast: number;
  /** Bytes of write-ahead log. */
  readonly walBytes: number;
  /** Bytes by which the table grows at most until vacuum has made room: one more version of every row; null: not known. */
  readonly tableBytes: number | null;
}

/** What running a few chunks and rolling them back has shown. */
export interface SampleReport {
  readonly rows: number;
  /** The statements of a chunk, with how often each ran, and its plan line by line. */
  readonly statements: readonly {
    readonly sql: string;
    readonly times: number;
    readonly plan: readonly string[];
  }[];
  readonly writes: readonly Omit<TableWrites, 'oid' | 'ancestors'>[];
  readonly changedColumns: readonly string[];
  /** Values are cut to their beginning. */
  readonly examples: readonly Example[];
  /** Connections of the migration's own to the same server: what it writes there is not rolled back. */
  readonly ownConnections: number;
  readonly chunks: number;
  readonly rowsPerSecond: number | null;
  readonly walBytesPerRow: number | null;
}

export interface PlanReport {
  readonly migrations: readonly MigrationPlan[];
  /** The transaction in which schema migrations were tried, with what comes after them; null: there was none. */
  readonly trial: {
    /** So long were their locks held. */
    readonly durationMs: number;
    /** Why it was ended before all was planned, or null. */
    readonly gaveWay: string | null;
  } | null;
}

/** The plan of one database, or of one target. */
export interface PlanOf {
  readonly report: PlanReport;
  readonly database: string;
}

// Transactions that were started just now are over before anybody waits for them.
const oldSeconds = 1;

/** What `up` or `down` and its chunks would wait for. */
export function waits({ direction, locks, older }: Outlook): readonly string[] {
  const old = older.filter(({ ageSeconds }) => ageSeconds === null || ageSeconds >= oldSeconds);
  return [
    ...locks.map((lock) => `chunks would wait for a lock: ${lock}`),
    ...old.map(({ pid, ageSeconds }) => {
      const who = pid === null ? 'a prepared transaction' : `the transaction of pid ${pid}`;
      const age = ageSeconds === null ? '' : `, ${Math.round(ageSeconds)} s old`;
      return `${direction} would first wait for ${who}${age}`;
    }),
  ];
}

/** What a sample has shown, in the form in which it is printed. */
export function reportOf({ rate, ...sample }: Sample): SampleReport {
  return {
    rows: sample.rows,
    statements: sample.statements.map(({ sql, times, plan }) => ({
      sql,
      times,
      plan: plan === null ? [] : planLines(plan),
    })),
    writes: sample.writes.map(({ oid: _oid, ancestors: _ancestors, ...written }) => written),
    changedColumns: sample.changed,
    examples: sample.examples,
    ownConnections: sample.ownConnections,
    chunks: rate?.chunks ?? 0,
    rowsPerSecond: rate === null ? null : Math.round(rate.rowsPerSecond),
    walBytesPerRow: rate === null ? null : Math.round(rate.walBytesPerRow),
  };
}

/** What a sample has shown of undo. */
export function undoReportOf({ undo }: Sample, rows: number | null): UndoReport | null {
  if (undo === null) return null;
  const bytesPerRow = undo.bytesPerRow === null ? null : Math.round(undo.bytesPerRow);
  const bytes = bytesPerRow === null || rows === null ? null : bytesPerRow * rows;
  const timesAsLong = undo.timesAsLong === null ? null : Math.round(undo.timesAsLong * 10) / 10;
  return { ...undo, bytesPerRow, bytes, timesAsLong };
}

// As Postgres is built.
const blockBytes = 8_192;

/** What the whole run will take, by its sample; null where no chunk was measured, or its rows are not known. */
export function estimateOf(
  { writes, rate, rows: sampled }: Sample,
  rows: number | null,
  { tuning }: RunEnvironment,
  { base, stored }: Plan,
): Estimate | null {
  if (rate === null || rows === null) return null;
  const own = writes.filter((one) => isPartOf(one, base));
  const versions = own.reduce((sum, { inserted, updated }) => sum + inserted + updated, 0);
  // What is stored out of line is written again only where it changes, and then is in the log.
  const inLine = rowBytesOf({ ...base, bytes: base.blocks * blockBytes }, stored.survey);
  const most = rowBytesOf(base, stored.survey);
  const rowBytes = Math.min(most, inLine + rate.walBytesPerRow);
  // More chunks at once than this only wait for each other.
  const lanes = Math.min(tuning.workers * (tuning.lanes ?? usualLanes), 2 * os.availableParallelism());
  const seconds = rate.rowsPerSecond > 0 ? rows / rate.rowsPerSecond : 0;
  return {
    secondsAtMost: seconds,
    secondsAtLeast: seconds / Math.max(1, lanes),
    walBytes: Math.round(rows * rate.walBytesPerRow),
    tableBytes: rowBytes > 0 ? Math.round((rows * rowBytes * versions) / sampled) : null,
  };
}
