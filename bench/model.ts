/**
 * What a run takes on more machines than there are, from costs that were measured on one: a closed network of queues, in
 * which each lane has one chunk, and chunks queue for cores of the client, for cores of the server, for the disk
 * that WAL goes to, and for what the ledger lets one do at a time. Pure: `suites/model.ts` measures.
 */

/** Where the time of one chunk goes, in milliseconds, when nothing else is at work. */
export interface ChunkCosts {
  /** CPU time of the client. */
  readonly clientMs: number;
  /** CPU time of the server. */
  readonly serverMs: number;
  /** Time in which it holds what no other chunk of the run may hold meanwhile. */
  readonly ledgerMs: number;
  /** Bytes of WAL, which one disk writes in turn. */
  readonly walBytes: number;
  /** Time in which it keeps nobody waiting: round trips, the disk, what the author's code waits for. */
  readonly waitMs: number;
}

/** Costs that grow with the rows of a chunk, and those that every chunk has. */
export interface Costs {
  readonly perChunk: ChunkCosts;
  readonly perRow: Omit<ChunkCosts, 'ledgerMs'>;
}

/** The machines that share a run. */
export interface Machines {
  /** Cores of all clients together. */
  readonly clientCores: number;
  readonly serverCores: number;
  /** Client and server are one machine, of `serverCores` cores. */
  readonly isShared: boolean;
  /** How fast the disk takes WAL; Infinity: it is no limit. */
  readonly walMbPerSecond: number;
  /** Chunks in flight. */
  readonly lanes: number;
}

export interface Prediction {
  readonly chunksPerSecond: number;
  /** From its begin to its commit. */
  readonly chunkMs: number;
  /** What is busy to the largest share; `lanes`: nothing is more than 90 % busy, so more lanes would be faster. */
  readonly limit: 'client' | 'server' | 'ledger' | 'wal' | 'lanes';
}

interface Station {
  readonly name: 'client' | 'server' | 'ledger' | 'wal';
  readonly demandMs: number;
  readonly servers: number;
}

/** The costs of a chunk of so many rows. */
export function chunkOf({ perChunk, perRow }: Costs, rows: number): ChunkCosts {
  return {
    clientMs: perChunk.clientMs + rows * perRow.clientMs,
    serverMs: perChunk.serverMs + rows * perRow.serverMs,
    waitMs: perChunk.waitMs + rows * perRow.waitMs,
    walBytes: perChunk.walBytes + rows * perRow.walBytes,
    ledgerMs: perChunk.ledgerMs,
  };
}

const busyShare = 0.9;

/**
 * The rate of a run whose chunks have these costs. Mean value analysis (Reiser and Lavenberg, 1980), with a station of
 * several servers as one that is as many times faster, and a delay for the rest (Seidmann, 1987).
 */
export function predict(costs: ChunkCosts, machines: Machines): Prediction {
  const stations = stationsOf(costs, machines);
  let thinkMs = costs.waitMs;
  for (const { demandMs, servers } of stations) thinkMs += (demandMs * (servers - 1)) / servers;
  const queues = stations.map(() => 0);
  let perMs = 0;
  let chunkMs = 0;
  for (let lanes = 1; lanes <= machines.lanes; lanes += 1) {
    const stays = stations.map(
      ({ demandMs, servers }, index) => (demandMs / servers) * (1 + (queues[index] ?? 0)),
    );
    chunkMs = thinkMs + stays.reduce((sum, stay) => sum + stay, 0);
    perMs = lanes / chunkMs;
    for (const [index, stay] of stays.entries()) queues[index] = perMs * stay;
  }
  const busiest = stations
    .map(({ name, demandMs, servers }) => ({ name, share: (perMs * demandMs) / servers }))
    .reduce((one, other) => (other.share > one.share ? other : one));
  return {
    chunksPerSecond: perMs * 1_000,
    chunkMs,
    limit: busiest.share > busyShare ? busiest.name : 'lanes',
  };
}

function stationsOf(
  { clientMs, serverMs, ledgerMs, walBytes }: ChunkCosts,
  machines: Machines,
): readonly [Station, ...Station[]] {
  const { clientCores, serverCores, isShared, walMbPerSecond } = machines;
  const alone = [
    { name: 'ledger', demandMs: ledgerMs, servers: 1 },
    { name: 'wal', demandMs: walBytes / (walMbPerSecond * 1_000), servers: 1 },
  ] as const;
  if (isShared) return [{ name: 'server', demandMs: clientMs + serverMs, servers: serverCores }, ...alone];
  return [
    { name: 'client', demandMs: clientMs, servers: clientCores },
    { name: 'server', demandMs: serverMs, servers: serverCores },
    ...alone,
  ];
}

/** The rows of a chunk that takes about `targetMs` on these machines, at most `mostRows`: what the product comes to. */
export function rowsAtTarget(
  costs: Costs,
  machines: Machines,
  { targetMs, mostRows }: { readonly targetMs: number; readonly mostRows: number },
): number {
  let [low, high] = [1, mostRows];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (predict(chunkOf(costs, middle), machines).chunkMs <= targetMs) low = middle;
    else high = middle;
  }
  return low;
}

/** The most rows of a chunk with which the ledger is what limits the run; 0: with none. */
export function ledgerLimitRows(costs: Costs, machines: Machines, mostRows: number): number {
  const isLimit = (rows: number): boolean => {
    const { limit } = predict(chunkOf(costs, rows), machines);
    return limit === 'ledger';
  };
  if (!isLimit(1)) return 0;
  let [low, high] = [1, mostRows];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (isLimit(middle)) low = middle;
    else high = middle;
  }
  return low;
}

/** One measured run: what it cost as a whole. */
export interface MeasuredRun {
  readonly rows: number;
  readonly chunks: number;
  readonly cost: number;
}

/**
 * The costs of the start, of a chunk and of a row, from three runs whose rows and chunks are in different proportions.
 * Cramer's rule. Never below 0, which only noise can make of it.
 */
export function splitCosts(runs: readonly [MeasuredRun, MeasuredRun, MeasuredRun]): {
  readonly start: number;
  readonly perChunk: number;
  readonly perRow: number;
} {
  const columns = [runs.map(() => 1), runs.map(({ chunks }) => chunks), runs.map(({ rows }) => rows)];
  const costs = runs.map(({ cost }) => cost);
  const whole = determinant(columns);
  if (whole === 0) throw new Error('the runs have rows and chunks in the same proportion');
  const part = (place: number): number =>
    Math.max(0, determinant(columns.map((column, index) => (index === place ? costs : column))) / whole);
  return { start: part(0), perChunk: part(1), perRow: part(2) };
}

function determinant(columns: readonly (readonly number[])[]): number {
  const at = (column: number, row: number): number => columns[column]?.[row] ?? 0;
  const minor = (a: number, b: number): number => at(1, a) * at(2, b) - at(1, b) * at(2, a);
  return at(0, 0) * minor(1, 2) - at(0, 1) * minor(0, 2) + at(0, 2) * minor(0, 1);
}
