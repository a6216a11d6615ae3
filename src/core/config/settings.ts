/** The limits on what the server shows, in the order in which reasons are listed; null: it is not looked at. */
export const gaugeNames = [
  'maxLockWaiters',
  'maxLagBytes',
  'maxLagMs',
  'maxSlotBytes',
  'maxArchiveBytes',
  'maxWalPerSecond',
  'maxDeadTuples',
  'maxActiveSessions',
  'maxTransactionAgeMs',
  'minFreeConnections',
] as const;

export type GaugeName = (typeof gaugeNames)[number];

/** Every number of `throttle`: those limits, and how long a run may be held back. */
export const limitNames = [...gaugeNames, 'maxHoldMs'] as const;

export type LimitName = (typeof limitNames)[number];

/**
 * The numbers that steer a run, each with its unit in its name. One table: the parser of the knexfile,
 * the environment and the flags, the documentation and its test all read it.
 */
export interface Tuning extends Readonly<Record<LimitName, number | null>> {
  /** No limit holds unless `set` asks for it, and nothing of `throttle` is looked at. */
  readonly fullSpeed: boolean;
  /** Working processes on this host, the primary included. */
  readonly workers: number;
  /** Chunks in flight in one process, each with a connection of its own; null: as many as pay, see `core/lanes`. */
  readonly lanes: number | null;
  /** Fixed number of rows per chunk, or null: the size adapts. */
  readonly chunkSize: number | null;
  /** Time a chunk aims at. */
  readonly targetMs: number;
  /** Most rows per second of a whole run, over all hosts; null: as fast as it goes. */
  readonly pace: number | null;
  /** Most rows an adapting chunk may have. */
  readonly maxRows: number;
  /** Most bytes of rows an adapting chunk may have. */
  readonly maxBytes: number;
  /** A chunk that takes longer is abandoned. */
  readonly ceilingMs: number;
  readonly statementTimeoutMs: number;
  readonly lockTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly clientCheckMs: number;
  readonly tcpUserTimeoutMs: number;
  readonly connectTimeoutMs: number;
  /** How long a run continues without progress while the database is unavailable. */
  readonly retryBudgetMs: number;
  /** From a signal until running chunks are destroyed. */
  readonly graceMs: number;
  /** So many bad rows stop a run. */
  readonly maxQuarantined: number;
  /** Of several databases or schemas, so many are worked on at a time. */
  readonly targetsAtOnce: number;
  /** Stop cleanly after this time; null: never. */
  readonly maxTimeMs: number | null;
  /** Runs keep what rows held, to be rolled back without a `down`, where the options of a migration do not say otherwise. */
  readonly undo: boolean;
  /** Wait for transactions that were writing when the run began. */
  readonly waitForOldTransactions: boolean;
}

interface SettingBase {
  readonly name: keyof Tuning;
  /** The section of `migrations.cluster` that it is in, or null: it is in none. */
  readonly section: 'throttle' | null;
  /** Name of the flag without dashes, or null: knexfile and environment only. */
  readonly flag: string | null;
  readonly env: string;
  /** Why the default is what it is; printed in the documentation. */
  readonly reason: string;
}

/**
 * `integer`: a whole number. `milliseconds`: a whole number or a duration ("500ms"). `duration`: as flag and
 * variable a duration with its unit ("20s"), in the knexfile also a number of milliseconds.
 */
export interface NumberSetting extends SettingBase {
  readonly kind: 'integer' | 'milliseconds' | 'duration';
  readonly unit: string;
  readonly min: number;
  readonly max: number;
  /** 'cores': the cores available; null: off, or decided while running. */
  readonly default: number | 'cores' | null;
  /** It may be null, which is off: by `null` in the knexfile, elsewhere by `off`. */
  readonly canBeOff: boolean;
}

export interface SwitchSetting extends SettingBase {
  readonly kind: 'switch';
  readonly unit: string;
  readonly default: boolean;
}

export type Setting = NumberSetting | SwitchSetting;

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

type Counted = Pick<NumberSetting, 'unit' | 'min' | 'max' | 'default'>;
type Rest = Omit<Counted, 'unit'>;

function count(name: keyof Tuning, flag: string | null, rest: Counted, reason: string): NumberSetting {
  const canBeOff = rest.default === null;
  return { name, section: null, flag, env: envName(name), kind: 'integer', canBeOff, ...rest, reason };
}

function milliseconds(name: keyof Tuning, flag: string | null, rest: Rest, reason: string): NumberSetting {
  return { ...count(name, flag, { unit: 'ms', ...rest }, reason), kind: 'milliseconds' };
}

function duration(name: keyof Tuning, flag: string, rest: Rest, reason: string): NumberSetting {
  const env = envName(name).replace(/_MS$/, '');
  return { ...count(name, flag, { unit: 'duration', ...rest }, reason), env, kind: 'duration' };
}

/** A number of `throttle`. */
function limit(name: LimitName, { unit, ...rest }: Counted, reason: string): NumberSetting {
  const kind = unit === 'ms' ? 'milliseconds' : 'integer';
  return { ...count(name, null, { unit, ...rest }, reason), section: 'throttle', kind, canBeOff: true };
}

/** UMZUG_CLUSTER_CHUNK_SIZE for `chunkSize`. */
function envName(name: string): string {
  return `UMZUG_CLUSTER_${name.replace(/[A-Z]/g, '_$&').toUpperCase()}`;
}

const mostBytes = 1_099_511_627_776;
const mostCount = 1_000_000_000;

// A default counts what the run adds, not what was there before it: an old slot must not hold up a deploy.
const limits: readonly NumberSetting[] = [
  limit(
    'maxLockWaiters',
    { unit: 'sessions', min: 0, max: mostCount, default: 0 },
    'whoever waits for a lock of a chunk gets it before the next chunk',
  ),
  limit(
    'maxLagBytes',
    { unit: 'bytes', min: 1, max: mostBytes, default: 1_000_000_000 },
    'WAL that a replica has still to replay; the default counts what the run adds',
  ),
  limit(
    'maxLagMs',
    { unit: 'ms', min: 1, max: dayMs, default: null },
    'unset: how much is behind says more than for how long, unless reads of a replica must be fresh',
  ),
  limit(
    'maxSlotBytes',
    { unit: 'bytes', min: 1, max: mostBytes, default: 16_000_000_000 },
    'WAL kept for a replication slot fills the disk; the default counts what the run adds, and is at most half of max_slot_wal_keep_size',
  ),
  limit(
    'maxArchiveBytes',
    { unit: 'bytes', min: 1, max: mostBytes, default: 16_000_000_000 },
    'WAL that is not archived yet fills the disk; the default counts what the run adds',
  ),
  limit(
    'maxWalPerSecond',
    { unit: 'bytes/s', min: 1, max: mostBytes, default: null },
    'unset: lag, slots and archive show whether it is too much; all WAL of the server counts',
  ),
  limit(
    'maxDeadTuples',
    { unit: 'tuples', min: 1, max: mostCount, default: null },
    'unset: every update leaves a dead tuple, which autovacuum removes when it comes; of the migrated table',
  ),
  limit(
    'maxActiveSessions',
    { unit: 'sessions', min: 1, max: mostCount, default: null },
    'unset: only you know what the server can take; its number of cores is a start; sessions of this tool do not count',
  ),
  limit(
    'maxTransactionAgeMs',
    { unit: 'ms', min: 1, max: 7 * dayMs, default: null },
    'unset: old transactions keep vacuum from removing dead tuples, which matters to long runs only',
  ),
  limit(
    'minFreeConnections',
    { unit: 'connections', min: 0, max: mostCount, default: 5 },
    'the application may need them; with fewer the run has fewer lanes',
  ),
  limit(
    'maxHoldMs',
    { unit: 'ms', min: 1, max: 7 * dayMs, default: null },
    'unset: a run waits as long as it is held back; otherwise it is stopped then, resumable',
  ),
];

/** Every tuning setting: its names, unit, bounds, default and reason. */
export const settings: readonly Setting[] = [
  count(
    'workers',
    'workers',
    { unit: 'processes', min: 1, max: 256, default: 'cores' },
    'unset: up to one per core, and more than one only while JavaScript keeps the first busy or fewer chunks than cores are in flight',
  ),
  count(
    'lanes',
    null,
    { unit: 'chunks', min: 1, max: 16, default: null },
    'unset: 2, and up to 8 while chunks wait for the disk or the network rather than for a core',
  ),
  count(
    'chunkSize',
    'chunk-size',
    { unit: 'rows', min: 1, max: 1_000_000, default: null },
    'unset: the size adapts until a chunk takes targetMs',
  ),
  milliseconds(
    'targetMs',
    'target-ms',
    { min: 1, max: 60_000, default: 500 },
    'locks on a chunk’s rows are held about this long',
  ),
  count(
    'pace',
    'pace',
    { unit: 'rows/s', min: 1, max: 100_000_000, default: null },
    'unset: unlimited; WAL, bloat and replica lag grow with rows, so rows are what is limited',
  ),
  count(
    'maxRows',
    null,
    { unit: 'rows', min: 1, max: 1_000_000, default: 20_000 },
    'limits the memory of a chunk; a set-based chunk reads no rows and may have twice as many',
  ),
  count(
    'maxBytes',
    null,
    { unit: 'bytes', min: 1_024, max: 1_073_741_824, default: 16_777_216 },
    'limits the memory of a chunk of wide rows',
  ),
  count(
    'maxQuarantined',
    null,
    { unit: 'rows', min: 1, max: 1_000_000, default: 100 },
    'this many bad rows are no exception: somebody has to look',
  ),
  milliseconds(
    'ceilingMs',
    null,
    { min: 100, max: dayMs, default: 60_000 },
    'an update that never resolves must not hold its locks forever',
  ),
  milliseconds(
    'statementTimeoutMs',
    null,
    { min: 100, max: dayMs, default: 30_000 },
    'a single statement that runs longer has a bad plan',
  ),
  milliseconds(
    'lockTimeoutMs',
    null,
    { min: 10, max: hourMs, default: 2_000 },
    'the application’s queries queue behind a waiting lock',
  ),
  milliseconds(
    'idleTimeoutMs',
    null,
    { min: 100, max: hourMs, default: 30_000 },
    'frees the locks of a client that is stuck inside a transaction',
  ),
  milliseconds(
    'clientCheckMs',
    null,
    { min: 0, max: hourMs, default: 1_000 },
    'lets the server notice a dead client during a statement; 0 turns it off',
  ),
  milliseconds(
    'tcpUserTimeoutMs',
    null,
    { min: 0, max: hourMs, default: 10_000 },
    'lets the server notice a network that drops packets; 0: the system’s default',
  ),
  milliseconds(
    'connectTimeoutMs',
    null,
    { min: 100, max: hourMs, default: 5_000 },
    'a host that drops packets never answers',
  ),
  milliseconds(
    'retryBudgetMs',
    null,
    { min: 0, max: dayMs, default: 150_000 },
    'a failover takes up to 2 minutes, and a pooler 15 s more to notice; anything longer needs a person',
  ),
  duration(
    'graceMs',
    'grace',
    { min: 0, max: hourMs, default: 20_000 },
    'below the 30 s after which Kubernetes sends SIGKILL',
  ),
  duration(
    'maxTimeMs',
    'max-time',
    { min: 1, max: 7 * dayMs, default: null },
    'unset: up runs until it is done',
  ),
  count(
    'targetsAtOnce',
    'targets-at-once',
    { unit: 'targets', min: 1, max: 64, default: 4 },
    'of several databases or schemas; workers and chunks at a time are divided among them',
  ),
  ...limits,
  {
    name: 'fullSpeed',
    section: null,
    flag: 'full-speed',
    env: 'UMZUG_CLUSTER_FULL_SPEED',
    kind: 'switch',
    unit: 'true or false',
    default: false,
    reason: 'for a maintenance window: no limit of throttle applies, nor what is configured there',
  },
  {
    name: 'undo',
    section: null,
    flag: null,
    env: 'UMZUG_CLUSTER_UNDO',
    kind: 'switch',
    unit: 'true or false',
    default: false,
    reason: 'what rows held before takes time and space: options.undo asks for it, for one migration',
  },
  {
    name: 'waitForOldTransactions',
    section: null,
    flag: null,
    env: 'UMZUG_CLUSTER_WAIT_FOR_OLD_TRANSACTIONS',
    kind: 'switch',
    unit: 'true or false',
    default: true,
    reason: 'their rows would be missed: they become visible after the cursor has passed them',
  },
];

/** The tuning of a host with so many cores where nobody asked for anything else. */
export function defaultTuning(cores: number): Tuning {
  const values = settings.map((setting) => [
    setting.name,
    setting.default === 'cores' ? Math.min(setting.max, Math.max(1, Math.trunc(cores))) : setting.default,
  ]);
  // The table names every key of Tuning once; its test says so, for the compiler cannot.
  return Object.fromEntries(values) as unknown as Tuning;
}
