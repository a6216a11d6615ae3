import { nextChunkSize } from './chunk-size.ts';

/**
 * How far a chunk goes: to the next `rows` rows that match, and over at most `keys` keys, whether their rows match
 * or not. Without the second bound one chunk of a select that hardly ever matches would read the whole table.
 */
export interface ChunkLimits {
  readonly rows: number;
  /** null: as far as it takes. That is best where an index supports the select, or most rows match. */
  readonly keys: number | null;
  /**
   * What its rows may weigh together, where the author says what each does. Then all numbers of rows here are ones of
   * weight: of rows there are fewer, as each weighs at least 1.
   */
  readonly weight?: number;
  /** About so many keys will do: nobody has said how large a chunk is to be. */
  readonly isRough?: boolean;
  /** Rows of the table for each that matches, by the chunk before; unset: 1. */
  readonly keysPerRow?: number;
  /** Fewer rows than these are not worth a chunk of their own when a run ends; unset: as many as ever. */
  readonly leastRows?: number;
}

/** Rows that a chunk can have at most: of a set-based one none is counted before it is written, but keys. */
export function mostRows({ rows, keys }: ChunkLimits, isSetBased: boolean): number {
  return isSetBased ? (keys ?? rows) : rows;
}

// Smaller chunks cost more than a lane that waits for the last of them,
const leastAtEnd = 1_000;

// unless rows take long: a chunk costs 5 to 10 ms beside them. With 100 µs of JavaScript a row, one of two processes
// waited 0.7 to 1.3 s for the last 4,000 rows of the other.
const leastAtEndMs = 100;

/** Rows that are worth a chunk of their own when a run ends, 1 to 1,000, by what the chunk before took. */
export function leastRowsAtEnd({ rows, durationMs }: { rows: number; durationMs: number }): number {
  const inTime = rows === 0 ? leastAtEnd : (rows * leastAtEndMs) / Math.max(durationMs, 1);
  return Math.max(1, Math.min(leastAtEnd, Math.floor(inTime)));
}

/**
 * The reach of a chunk in one of the last ranges, of which so many keys are left by the estimate: half of them at
 * most, so that the others can steal the rest in time. An estimate that is used up says nothing.
 */
export function limitsAtEnd(limits: ChunkLimits, keysLeft: number | null): ChunkLimits {
  const half = keysLeft === null || limits.isRough !== true ? 0 : keysLeft / 2;
  const { rows, keys, weight, leastRows = leastAtEnd, keysPerRow = 1 } = limits;
  if (half < leastRows * keysPerRow) return limits;
  const most = Math.ceil(half / keysPerRow);
  return {
    ...limits,
    rows: Math.min(rows, most),
    ...(weight === undefined ? {} : { weight: Math.min(weight, most) }),
    keys: keys === null ? null : Math.min(keys, Math.ceil(half)),
  };
}

const smallestInChunks = 4;

/**
 * Keys that are worth stealing for a lane whose chunks pass so many, `leastKeys` when a run ends: less than a few
 * chunks cost more than they bring.
 */
export function worthStealing(keysEach: number, leastKeys: number): number {
  return smallestInChunks * Math.min(keysEach, leastKeys);
}

/** What a committed chunk tells of the next one. */
export interface LimitsMeasure {
  readonly limits: ChunkLimits;
  /** Rows that the chunk had, or wrote. */
  readonly rows: number;
  /** It ended at the number of its rows, not at its keys or with its range. */
  readonly isFull: boolean;
  /** Its range continues behind it. */
  readonly hasMore: boolean;
  /** Time until its rows were found. */
  readonly readMs: number;
  readonly durationMs: number;
  readonly targetMs: number;
  readonly maxRows: number;
  readonly bytes: number;
  readonly maxBytes: number;
}

// 10,000 keys are walked in 2 to 10 ms where they are cached, in a second where each costs a read of the disk.
const firstKeys = 10_000;

// A wrong step up costs one chunk of four times the target; a table without a match is crossed soon.
const mostGrowth = 4;

// Where rows are dense again, the walk over so many keys for each row costs one to three hundredths of the chunk.
const denseKeysPerRow = 4;

/** How far the next chunk of a row-style migration goes, within its target time. */
export function nextLimits(measure: LimitsMeasure): ChunkLimits {
  const { limits, rows, isFull, readMs, durationMs } = measure;
  // What a chunk without its number of rows took is the search; only its update says what a row costs.
  const rowsMs = isFull ? durationMs : Math.max(durationMs - readMs, 0);
  const next =
    rows === 0 ? limits.rows : nextChunkSize({ ...measure, current: limits.rows, durationMs: rowsMs });
  return { rows: next, keys: nextKeys(measure) };
}

function nextKeys({ limits, isFull, hasMore, readMs, durationMs, targetMs }: LimitsMeasure): number | null {
  const { rows, keys } = limits;
  if (keys === null) return isSlowSearch(isFull, readMs, durationMs, targetMs) ? keysAtFirst(rows) : null;
  if (isFull) return Math.max(rows * denseKeysPerRow, Math.floor(keys / 2));
  const growth = Math.min(targetMs / Math.max(durationMs, 0.001), mostGrowth);
  // The end of a range came before the chunk's own: that says nothing of a longer one.
  return Math.max(1, Math.floor(keys * (hasMore ? growth : Math.min(growth, 1))));
}

/** A scan of the whole range for each chunk: it took the time that the rows should take. */
function isSlowSearch(isFull: boolean, readMs: number, durationMs: number, targetMs: number): boolean {
  return readMs > targetMs || (isFull && readMs > targetMs / 4 && readMs > durationMs / 2);
}

/** The keys of the first chunk that is bounded by them. */
function keysAtFirst(rows: number): number {
  return Math.max(firstKeys, rows * denseKeysPerRow);
}

// A set-based chunk in which one of `sparseKeys` matches, or fewer, may cross `sparseSets` times the most rows of one:
// all of them may match in the next one.
const sparseSets = 5;
const sparseKeys = 10;

// None of its rows is held in memory, which is what the most rows of a chunk are for: 1,000,000 rows took 4.5 s of the
// server's CPU time in chunks of 10,000, 3.8 in chunks of 40,000.
const denseSets = 2;

/** How far the next chunk of a set-based migration goes: its rows are not counted before they are written. */
export function nextSetLimits(measure: LimitsMeasure): ChunkLimits {
  const { limits, rows, hasMore, maxRows } = measure;
  if (limits.keys === null) return { ...limits, keys: nextKeys(measure) };
  const isSparse = rows * sparseKeys <= limits.keys;
  const keys = nextChunkSize({
    ...measure,
    current: limits.keys,
    rows: hasMore ? limits.keys : rows,
    maxRows: maxRows * (isSparse ? sparseSets : denseSets),
  });
  return { rows: Math.min(keys, maxRows), keys };
}

/** The reach after a search that ran into its time limit; null where it cannot be less. */
export function halveKeys({ rows, keys }: ChunkLimits): ChunkLimits | null {
  if (keys === null) return { rows, keys: keysAtFirst(rows) };
  return keys > 1 ? { rows, keys: Math.floor(keys / 2) } : null;
}

// Long enough for a scan of some gigabytes, which finds the few rows of a select at once; short enough that
// nobody takes the run for dead.
const leastSearchMs = 5_000;
const searchInTargets = 5;

/**
 * How long the search for a chunk's rows may take, in milliseconds, before it is tried over fewer keys. A sweep
 * goes over the whole table at once, as long as a statement may: over fewer keys it would read it in their order.
 */
export function searchLimitMs(targetMs: number, statementTimeoutMs: number, isSweep = false): number {
  if (isSweep) return statementTimeoutMs;
  return Math.min(statementTimeoutMs, Math.max(leastSearchMs, targetMs * searchInTargets));
}
