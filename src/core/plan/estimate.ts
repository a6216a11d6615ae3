/** What a run will take, by what its sample took. */
export interface Estimate {
  /** Seconds with one chunk at a time, as the sample was measured. */
  readonly secondsAtMost: number;
  /** Seconds if all lanes of all workers of this host ran at the sample's speed side by side. */
  readonly secondsAtLeast: number;
  /** Bytes of write-ahead log; null where it was not measured. */
  readonly walBytes: number | null;
  /** Bytes by which the table grows at most until vacuum has made room: one more version of every row; null: not known. */
  readonly tableBytes: number | null;
}

export interface Measured {
  /** Rows that the run will write. */
  readonly rows: number;
  readonly rowsPerSecond: number;
  readonly walBytesPerRow: number | null;
  /** Bytes that one row takes in its table, at most; 0: not known. */
  readonly rowBytes: number;
  /** Row versions that a row's update writes: 0 where it only inserts elsewhere, 1 as a rule. */
  readonly versionsPerRow: number;
  /** Chunks in flight at once on this host: workers times lanes, but not more than twice the cores. */
  readonly lanes: number;
}

/** The estimate for a whole run; all of it is proportional to the rows. */
export function estimateRun(measured: Measured): Estimate {
  const { rows, rowsPerSecond, walBytesPerRow, rowBytes, versionsPerRow, lanes } = measured;
  const seconds = rowsPerSecond > 0 ? rows / rowsPerSecond : 0;
  return {
    secondsAtMost: seconds,
    secondsAtLeast: seconds / Math.max(1, lanes),
    walBytes: walBytesPerRow === null ? null : Math.round(rows * walBytesPerRow),
    tableBytes: rowBytes > 0 ? Math.round(rows * rowBytes * versionsPerRow) : null,
  };
}

const units = ['kB', 'MB', 'GB', 'TB'] as const;

/** Bytes for people: "640 bytes", "1.5 kB", "12 GB". */
export function formatBytes(bytes: number): string {
  if (bytes < 1_000) return `${Math.round(bytes)} bytes`;
  let value = bytes;
  let unit = '';
  for (const next of units) {
    if (value < 1_000 && unit !== '') break;
    value /= 1_000;
    unit = next;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}
