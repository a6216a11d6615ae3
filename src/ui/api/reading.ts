import type { Control } from '../../cluster/worker/control.ts';
import type { Config } from '../../config/config.ts';
import { isUnderWay } from '../../core/config/states.ts';
import { thisProcess } from '../../config/this-process.ts';
import { type Ledger, findLedger } from '../../ledger/ledger.ts';
import { type HistoryEntry, detailOf, whoCaused } from '../../ledger/look/history.ts';
import type { HostSeen } from '../../ledger/look/hosts.ts';
import type { KeptPoint } from '../../ledger/look/points.ts';
import type { RangePlace } from '../../ledger/run/ranges.ts';
import type { Run } from '../../ledger/run/rows.ts';
import { listMigrations } from '../../migration/file/folder.ts';
import { processOf, withoutToken } from '../../migrator/status/activity.ts';
import { type MigrationStatus, statusReport } from '../../migrator/status/status.ts';
import { reading } from '../../postgres/transaction.ts';
import { describeOld } from '../../run/lifecycle/register.ts';
import { waitOfSchema } from '../../run/schema/lock-watch.ts';
import type { Session } from '../../postgres/session.ts';
import type {
  HistoryView,
  HostView,
  MigrationRow,
  Overview,
  Point,
  RangeView,
  RunDetail,
} from './contract.ts';

/** What one look at a database has found: all migrations, and the details of those that somebody watches. */
export interface Look {
  readonly overview: Overview;
  /** By what they were asked for: the id of a run, or the name of a migration; null: there is none. */
  readonly details: ReadonlyMap<string, RunDetail | null>;
  readonly statuses: readonly MigrationStatus[];
  /** The latest points of what is running. */
  readonly points: readonly (KeptPoint & { readonly runId: string })[];
}

/** What the page shows of its database besides what the ledger says. */
export type About = Pick<Overview, 'databaseId' | 'canWrite'>;

const mostQuarantined = 1_000;
const mostEvents = 200;
const recentMs = 5_000;

/** Looks at the ledger as `status` does, and at what plots and the map need of those that are asked for. Reads only. */
export async function lookAt(
  config: Config,
  control: Control,
  about: About,
  asked: readonly string[],
): Promise<Look> {
  const { database, statuses } = await statusesOf(config, control);
  const rows = new Map(statuses.map((status) => [status, rowOf(status)]));
  const find = (id: string): MigrationStatus | undefined =>
    statuses.find(({ name, runId }) => name === id || runId === id);
  const running = statuses.flatMap(({ state, runId }) =>
    runId !== null && isUnderWay(state) ? [runId] : [],
  );
  const read = async (session: Session): Promise<Omit<Look, 'overview' | 'statuses'> & { at: number }> => {
    const ledger = await findLedger(session, config.ledgerSchema);
    const { rows: now } = await session.query(
      'select extract(epoch from clock_timestamp())::double precision * 1000 as ms',
    );
    const at = Math.round(Number(now[0]?.['ms']));
    const details = new Map<string, RunDetail | null>();
    for (const id of asked) {
      const status = find(id);
      const row = status === undefined ? undefined : rows.get(status);
      const detail = status && row && { at, row, ...(await detailIn(session, ledger, status, at)) };
      details.set(id, detail ?? null);
    }
    const points = running.length === 0 ? [] : ((await ledger?.points.latest(running, recentMs)) ?? []);
    return { at, details, points };
  };
  const { at, ...found } = await control.use((session) => reading(session, () => read(session)));
  const { version } = thisProcess();
  return {
    overview: { at, database, ...about, version, migrations: [...rows.values()] },
    ...found,
    statuses,
  };
}

/** The identity of a database in paths. */
export function databaseIdOf(label: string): string {
  return label.replaceAll(/[^\w.]+/g, '-');
}

/** As `status` has them; a host that only watches may have no folder, and misses no file. */
async function statusesOf(
  config: Config,
  control: Control,
): Promise<{ readonly database: string; readonly statuses: readonly MigrationStatus[] }> {
  const files = await listMigrations(config.migrationsDirs).catch(() => null);
  const places = files === null ? { ...config, migrationsDirs: [] } : config;
  const { database, migrations } = await statusReport(files ?? [], places, control);
  const statuses = migrations.map((status) =>
    files === null && status.state === 'missing' ? { ...status, state: 'executed' as const } : status,
  );
  return { database, statuses };
}

const timeOf = (text: string | null): number | null => (text === null ? null : Date.parse(text));

function rowOf(status: MigrationStatus): MigrationRow {
  const { name, kind, state, runId, direction, fraction, rows, error, waiting, throttled, heldBy } = status;
  const { rowsPerSecond, etaSeconds } = status;
  return {
    name,
    kind,
    state,
    runId,
    direction,
    fraction,
    rowsDone: rows.done,
    rowsEstimated: rows.estimated,
    rowsPerSecond,
    etaSeconds,
    quarantined: rows.quarantined,
    error,
    waiting,
    throttled,
    heldBy,
    startedAt: timeOf(status.startedAt),
    finishedAt: timeOf(status.finishedAt),
    executedAt: timeOf(status.executedAt),
  };
}

async function detailIn(
  session: Session,
  ledger: Ledger | null,
  { name, kind, runId, chunks, retries, settings }: MigrationStatus,
  at: number,
): Promise<Omit<RunDetail, 'at' | 'row'>> {
  const events = (await ledger?.history.list(name, mostEvents)) ?? [];
  const base = { chunks, retries, settings: { ...settings }, history: events.map(historyOf) };
  if (ledger === null || runId === null) {
    const blocker = kind === 'schema' ? await waitOfSchema(session, name) : null;
    return { ...base, ...nothing, blocker };
  }
  const run = await ledger.runs.read(runId);
  const points = await ledger.points.list(runId);
  const { rows: quarantined } = await ledger.quarantine.list(runId, mostQuarantined);
  const hosts = run.state === 'running' ? await ledger.hosts.list(runId) : [];
  return {
    ...base,
    ...tableOf(run),
    hosts: hosts.map((host) => ({ ...hostOf(host, points), seenAt: Math.round(at - host.seenAgoMs) })),
    ranges: (await ledger.ranges.places(runId)).map((place) => rangeOf(place, run, hosts)),
    points: points.map(pointOf),
    quarantine: quarantined.map(({ atMs: at, ...row }) => ({ ...row, at })),
    blocker: run.state === 'running' ? await blockerOf(ledger) : null,
  };
}

const nothing = { table: null, key: [], hosts: [], ranges: [], points: [], quarantine: [] } as const;

function tableOf({ plan: { base } }: Run): Pick<RunDetail, 'table' | 'key'> {
  const { schema, name, key } = base;
  return { table: `${schema}.${name}`, key: key.map((column) => column.name) };
}

async function blockerOf(ledger: Ledger): Promise<string | null> {
  const [first] = await ledger.blockers.list();
  return first === undefined ? null : describeOld(first);
}

function hostOf({ process, ...host }: HostSeen, points: readonly KeptPoint[]): Omit<HostView, 'seenAt'> {
  const { workers, rowsPerSecond, etaSeconds, chunkSize, waiting, throttled } = host;
  const lanes = points.findLast((point) => point.process === process)?.lanes ?? null;
  const told = { workers, lanes, rowsPerSecond, etaSeconds, chunkSize, waiting, throttled };
  return { process: withoutToken(process), ...told };
}

/** What a process and those that it has forked have in common: `host/token`. */
function commandOf(process: string): string {
  return process.replace(/:\d+(?=\/\w+$)/, '');
}

/** The host that works on a range, as it is listed: by its first process, whichever of its processes it is. */
function workingHost(worker: string, hosts: readonly HostSeen[]): string {
  const process = processOf(worker);
  const first = hosts.find((host) => commandOf(host.process) === commandOf(process));
  return withoutToken(first?.process ?? process);
}

function rangeOf(place: RangePlace, run: Run, hosts: readonly HostSeen[]): RangeView {
  const { no, state, begins, passed, ahead, worker, isStolen, lastError } = place;
  const length = passed + ahead;
  const isActive = state === 'open' && worker !== null && run.state === 'running';
  return {
    no,
    at: begins,
    length,
    done: state === 'done' ? 1 : length > 0 ? passed / length : 0,
    state: isActive ? 'active' : state,
    host: isActive ? workingHost(worker, hosts) : null,
    stolen: isStolen,
    lastError,
  };
}

function pointOf({ atMs, rowsDone, rowsPerSecond, chunkMs, chunkSize, lanes, held }: KeptPoint): Point {
  return [atMs, rowsDone, rowsPerSecond, chunkMs, chunkSize === 0 ? null : chunkSize, lanes, held];
}

function historyOf(entry: HistoryEntry): HistoryView {
  const { at, event, direction, host, version, gitCommit } = entry;
  const by = whoCaused(entry);
  return {
    at: Date.parse(at),
    event,
    direction,
    by,
    host,
    version,
    commit: gitCommit,
    detail: detailOf(entry),
  };
}
