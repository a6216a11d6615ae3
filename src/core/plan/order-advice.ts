import { formatBytes } from './estimate.ts';

/** How a table is stored, as far as it matters in which order its rows are visited. */
export interface Storage {
  readonly bytes: number;
  readonly blocks: number;
  /** How the first column of the key follows the order of the rows: 1 and -1 exactly, 0 not at all; null: not known. */
  readonly correlation: number | null;
  readonly sharedBuffers: number;
  readonly effectiveCacheSize: number;
}

/** What is known of a migration by its sample. */
export interface Visit {
  readonly table: string;
  /** The first column of the key. */
  readonly column: string;
  /** Rows that match, by the estimate. */
  readonly matching: number;
}

// Above, neighbours by key are often neighbours on disk too, and the cache helps.
const scattered = 0.5;

// A page with one row to change is read and written once in either order.
const worthPerPage = 2;

/**
 * Why `options.order = 'physical'` would pay for a migration whose select drains, in a sentence; null where it would
 * not. 600,000 rows with random uuid keys in a seventh of the memory that they need: 0.5 to 0.6 of the time and 0.2 to 0.3
 * of the WAL; in a table that fits into the cache it takes as long as key order.
 */
export function adviseOrder({ table, column, matching }: Visit, storage: Storage): string | null {
  const { bytes, blocks, correlation, sharedBuffers, effectiveCacheSize } = storage;
  if (correlation === null || Math.abs(correlation) > scattered) return null;
  if (bytes <= Math.max(sharedBuffers, effectiveCacheSize)) return null;
  if (matching < blocks * worthPerPage) return null;
  const size = `"${table}" (${formatBytes(bytes)}) is larger than the server's cache (shared_buffers ${formatBytes(sharedBuffers)}, effective_cache_size ${formatBytes(effectiveCacheSize)})`;
  const order = `its rows are stored in another order than that of "${column}" (correlation ${correlation.toFixed(2)})`;
  const each = `about ${Math.round(matching / blocks)} rows of each page are to be changed`;
  return `options.order = 'physical' would pay: ${size}, ${order}, and ${each}, which in the order of the key are changed at different times: each costs a page that is read, and mostly a page of WAL. select drains, as it must for it`;
}
