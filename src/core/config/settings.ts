/**
 * The numbers that steer a run, each with its unit in its name. One table: the parser of the knexfile,
 * the environment and the flags, the documentation and its test all read it.
 */
export interface Tuning {
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
  /** Begin no chunk while a replica has more bytes of WAL to replay; null: replicas are not looked at. */
  readonly maxLagBytes: number | null;
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
  /** Stop cleanly after this time; null: never. */
  readonly maxTimeMs: number | null;
  /** Wait for transactions that were writing when the run began. */
  readonly waitForOldTransactions: boolean;
}

interface SettingBase {
  readonly name: keyof Tuning;
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
}

export interface SwitchSetting extends SettingBase {
  readonly kind: 'switch';
  readonly unit: string;
  readonly default: boolean;
}

export type Setting = NumberSetting | SwitchSetting;

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

type Counted = Omit<NumberSetting, 'name' | 'env' | 'flag' | 'reason' | 'kind'>;
type Rest = Omit<Counted, 'unit'>;

function count(name: keyof Tuning, flag: string | null, rest: Counted, reason: string): Setting {
  return { name, flag, env: envName(name), kind: 'integer', ...rest, reason };
}

function milliseconds(name: keyof Tuning, flag: string | null, rest: Rest, reason: string): Setting {
  return { name, flag, env: envName(name), kind: 'milliseconds', unit: 'ms', ...rest, reason };
}

function duration(name: keyof Tuning, flag: string, rest: Rest, reason: string): Setting {
  const env = envName(name).replace(/_MS$/, '');
  return { name, flag, env, kind: 'duration', unit: 'duration', ...rest, reason };
}

/** UMZUG_CLUSTER_CHUNK_SIZE for `chunkSize`. */
function envName(name: string): string {
  return `UMZUG_CLUSTER_${name.replace(/[A-Z]/g, '_$&').toUpperCase()}`;
}

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
    'maxLagBytes',
    null,
    { unit: 'bytes', min: 1, max: 1_099_511_627_776, default: null },
    'unset: replicas are not checked; otherwise no chunk starts while one has more WAL to replay',
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
  {
    name: 'waitForOldTransactions',
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
