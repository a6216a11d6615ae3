import type { RecordedArgs } from '../../core/config/args.ts';
import type { FileHashes } from '../../core/values/file-drift.ts';
import type { RunState } from '../../core/config/states.ts';
import type { Survey } from '../../core/size/survey.ts';
import type { BaseTable, Space, Position } from '../../migration/key/key.ts';
import type { ColumnSize } from '../../migration/chunk/row-sizes.ts';
import type { StoredColumn } from '../../migration/key/stored-columns.ts';
import type { WayBack } from './restoration.ts';

export type Direction = 'up' | 'down';

/** How a run goes over its table. */
export interface Passes {
  /** Its select drains: when it is done it goes over its table again, until nothing is left. */
  readonly sweeps?: boolean;
  /** It goes over blocks, in each of which about so many rows are. */
  readonly rowsPerBlock?: number;
  /** The number of the pass that goes over all of the table; unset: 0. The passes behind it are sweeps. */
  readonly mainPass?: number;
  /** What is open of the passes before this one is not gone over any more; unset: 0. */
  readonly droppedPasses?: number;
  /**
   * Nobody has asked for an order, and that of the blocks pays. `undecided`: its first rows are visited by key, to see
   * whether its select drains. `blocks`: they did; where other rows do not, the rest is visited by key. `asked`: its
   * options say that it drains.
   */
  readonly auto?: { readonly state: 'undecided' | 'blocks' | 'asked'; readonly why: string };
}

/** What a run needs to be rolled back by the images of its rows. */
export interface Undo {
  /** The columns of the base table when the run began: images have their numbers. */
  readonly columns: readonly StoredColumn[];
  /** For how long images are kept once it is executed; null: until they are removed. */
  readonly keepDays: number | null;
}

/** What a run is about; a host whose own plan differs never works on it. */
export interface RunPlan extends Passes {
  readonly base: BaseTable;
  readonly sql: string;
  /** Of each selected column, where a chunk's rows have to be measured before they are read; else none. */
  readonly sizes?: readonly ColumnSize[];
  /** Its rows are weighed: by the column of `select` of this number, or by a query. */
  readonly weight?: number | 'query';
  /** Under which names a select that is taken as it stands returns the key. */
  readonly keyAs?: readonly string[];
  /** The arguments of its migration; left out where that declares none. */
  readonly args?: RecordedArgs;
  /** What a sample of the table's rows told before the run began; without one nothing is known of where they lie. */
  readonly survey?: Survey;
  /** Its chunks keep what rows held before and after. */
  readonly undo?: Undo;
  /** Of a rollback that restores stored values: it goes over those, in place of the table. */
  readonly images?: WayBack;
}

/** One execution of one migration, in one direction. */
export interface Run extends FileHashes {
  readonly id: string;
  readonly name: string;
  readonly direction: Direction;
  readonly state: RunState;
  readonly epoch: number;
  readonly reverts: string | null;
  readonly startXid: string;
  readonly plan: RunPlan;
  readonly planSha256: string;
  /** Counted from 0: see `Passes`. */
  readonly pass: number;
  /** Its ranges are there; before that, transactions that may write rows of it are waited for. */
  readonly isLaidOut: boolean;
  /** Where this pass ends. */
  readonly stopKey: Position | null;
  /** Rows that it is expected to pass to `update`; -1: not known. */
  readonly estimatedRows: number;
  readonly error: string | null;
}

/** A half-open range `(lo, hi]` of a run, of keys or of places, with the cursor up to which it is done. */
export interface Range {
  readonly no: number;
  readonly space: Space;
  readonly lo: Position | null;
  readonly hi: Position;
  readonly cursor: Position | null;
  readonly maxRows: number | null;
  /** Claims that ended in neither progress nor a recorded failure: one for each death, and the present one. */
  readonly openClaims: number;
}

/** Sums over the ranges of a run. */
export interface RunTotals {
  readonly rows: number;
  /** Rows of the table behind the cursors of the present pass, whether they matched or not. */
  readonly passed: number;
  readonly chunks: number;
  readonly rangesDone: number;
  readonly rangesOpen: number;
  /** Those of them that nobody is to claim for now. */
  readonly rangesParked: number;
  /** Rows of the table in front of them. */
  readonly estimatedLeft: number;
  /** Position and length of what is left of each open range. */
  readonly open: readonly (readonly [at: number, left: number])[];
  readonly busyMs: number;
  readonly lastError: string | null;
  /** Chunks that were tried again for what passes: lost connections, deadlocks, timeouts. */
  readonly retries: number;
  /** Rows that are quarantined. */
  readonly quarantined: number;
  /** By range, the one that was touched last at the end: a worker may have left its name on others before. */
  readonly workers: readonly { readonly worker: string; readonly no: number }[];
}

/** Reads a row of `runs`; the statement must select the columns of `runColumns`. */
export function toRun(row: Record<string, unknown>): Run {
  return {
    id: row.id as string,
    name: row.name as string,
    direction: row.direction as Direction,
    state: row.state as RunState,
    epoch: row.epoch as number,
    reverts: row.reverts as string | null,
    startXid: row.start_xid as string,
    plan: row.plan as RunPlan,
    fileSha256: row.file_sha256 as string,
    imports: row.imports as FileHashes['imports'],
    planSha256: row.plan_sha256 as string,
    pass: row.pass as number,
    isLaidOut: row.is_laid_out as boolean,
    stopKey: row.stop_key as Position | null,
    estimatedRows: row.estimated_rows as number,
    error: row.error as string | null,
  };
}

/** The columns that `toRun` reads. */
export const runColumns =
  'id::text, name, direction, state, epoch, reverts::text, start_xid::text, plan, file_sha256, imports, plan_sha256, pass, is_laid_out, stop_key, estimated_rows, error';

/** Reads a row of `ranges`. */
export function toRange(row: Record<string, unknown>): Range {
  return {
    no: row.no as number,
    space: row.space as Space,
    lo: row.lo as Position | null,
    hi: row.hi as Position,
    cursor: row.cursor as Position | null,
    maxRows: row.max_rows as number | null,
    openClaims: row.open_claims as number,
  };
}

/** Of a run that has no ranges. */
export const noTotals: RunTotals = {
  rows: 0,
  passed: 0,
  chunks: 0,
  rangesDone: 0,
  rangesOpen: 0,
  rangesParked: 0,
  estimatedLeft: 0,
  open: [],
  busyMs: 0,
  lastError: null,
  retries: 0,
  quarantined: 0,
  workers: [],
};

/** Reads sums over the ranges of a run. */
export function toTotals(row: Record<string, unknown>): RunTotals {
  return {
    rows: row.rows as number,
    passed: row.passed as number,
    chunks: row.chunks as number,
    rangesDone: row.ranges_done as number,
    rangesOpen: row.ranges_open as number,
    rangesParked: row.ranges_parked as number,
    estimatedLeft: row.estimated_left as number,
    open: row.open as RunTotals['open'],
    busyMs: row.busy_ms as number,
    lastError: row.last_error as string | null,
    retries: row.retries as number,
    quarantined: row.quarantined as number,
    workers: row.workers as RunTotals['workers'],
  };
}
