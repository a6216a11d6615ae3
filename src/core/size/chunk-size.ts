/** Rows of the first chunk of narrow rows: 62,000 rows took 2.3 times one UPDATE at 1,000, 2.7 at 500. */
export const initialChunkSize = 1_000;

/** Rows of the first chunk, 1 to `initialChunkSize`: fewer where the table's rows are wide. 0 bytes: not known. */
export function firstChunkSize(rowBytes: number, maxBytes: number): number {
  if (rowBytes <= 0) return initialChunkSize;
  return Math.max(1, Math.min(initialChunkSize, Math.floor(maxBytes / rowBytes)));
}

// A step up may double the chunk; a step down is taken at once, because a slow chunk blocks the application.
const mostGrowth = 2;

export interface ChunkMeasure {
  readonly current: number;
  /** Rows that the chunk had; less than `current` at the end of a range. */
  readonly rows: number;
  readonly durationMs: number;
  readonly targetMs: number;
  readonly maxRows: number;
  /** Size of the chunk's rows, where it is known; bounds the next chunk together with `maxBytes`. */
  readonly bytes?: number | undefined;
  readonly maxBytes?: number | undefined;
}

/**
 * Rows of the next chunk, at least 1, at most `maxRows`: proportional to the target time, growing at most
 * twofold, within `maxBytes` at the last chunk's bytes a row. A chunk that was not full says nothing about a
 * larger one, so the size does not grow by it.
 */
export function nextChunkSize(measure: ChunkMeasure): number {
  const { current, rows, durationMs, targetMs, maxRows } = measure;
  const perRowMs = durationMs / Math.max(rows, 1);
  const fitting = perRowMs > 0 ? targetMs / perRowMs : current * mostGrowth;
  const most = rows < current ? current : current * mostGrowth;
  return Math.max(1, Math.min(Math.floor(fitting), most, maxRows, rowsWithinBytes(measure)));
}

function rowsWithinBytes({ rows, bytes = 0, maxBytes = Infinity }: ChunkMeasure): number {
  return bytes > 0 && rows > 0 ? Math.floor(maxBytes / (bytes / rows)) : Infinity;
}
