import type { Control } from '../cluster/control.ts';
import type { Config } from '../config.ts';
import type { Overrides } from '../core/steering.ts';
import { paceReason } from '../core/throttle.ts';
import { type RunReading, readRunning } from '../ledger/controls.ts';
import type { ExecutedMigration } from '../ledger/migrations.ts';
import { listExecuted } from '../ledger/migrations.ts';
import { listQuarantined } from '../ledger/quarantine.ts';
import { totals } from '../ledger/ranges.ts';
import type { Run, RunTotals } from '../ledger/rows.ts';
import { findLiveRun, latestRuns } from '../ledger/runs.ts';
import { ledgerNames, readLedgerVersion } from '../ledger/schema.ts';
import type { MigrationFile } from '../migration/folder.ts';
import { loadMigration } from '../migration/loader.ts';
import type { Session } from '../postgres/session.ts';
import { reading } from '../postgres/transaction.ts';
import { mostListed } from '../run/retry.ts';
import { unknownName } from './umzug.ts';

export type MigrationState =
  'pending' | 'running' | 'paused' | 'failed' | 'cancelled' | 'reverting' | 'executed' | 'missing';

/** One migration as `status --json` prints it. A field that does not apply is null or 0. */
export interface MigrationStatus {
  readonly name: string;
  readonly kind: 'data' | 'schema' | null;
  readonly state: MigrationState;
  readonly direction: 'up' | 'down' | null;
  readonly fileSha256: string | null;
  readonly rows: { readonly done: number; readonly estimated: number; readonly quarantined: number };
  readonly ranges: { readonly done: number; readonly open: number };
  readonly chunks: number;
  /** Chunks that were tried again for what passes, such as a deadlock or a lost connection. */
  readonly retries: number;
  readonly rowsPerSecond: number | null;
  readonly etaSeconds: number | null;
  readonly chunkSize: number | null;
  readonly workers: readonly { readonly host: string; readonly pid: number; readonly range: number }[];
  /** Why no chunk begins, or null. */
  readonly throttled: string | null;
  /** What an operator has set for the run, on all hosts. */
  readonly settings: Overrides;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly executedAt: string | null;
  readonly error: string | null;
  readonly quarantine: readonly {
    readonly key: readonly string[];
    readonly attempts: number;
    readonly error: string;
  }[];
}

export interface StatusReport {
  readonly database: string;
  readonly ledgerVersion: number | null;
  readonly migrations: readonly MigrationStatus[];
}

type LatestRun = Awaited<ReturnType<typeof latestRuns>>[number];

/** Reads the ledger and the folder into one report. */
export async function statusReport(
  files: readonly MigrationFile[],
  config: Config,
  control: Control,
  only?: string,
): Promise<StatusReport> {
  const database = config.database.kind === 'connection' ? config.database.label : 'embedded';
  const { ledgerSchema } = config;
  const [found, version] = await control.use((session) =>
    reading(session, async () => [
      await readAll(session, files, ledgerSchema),
      await readLedgerVersion(session, ledgerSchema),
    ]),
  );
  await addKinds(found, files);
  const migrations = only === undefined ? found : found.filter(({ name }) => name === only);
  if (only !== undefined && migrations.length === 0) {
    throw unknownName(
      only,
      found.map(({ name }) => name),
      'known',
    );
  }
  return { database, ledgerVersion: version, migrations };
}

/** The kind of what never ran stands in its file; a file that does not load has none. */
async function addKinds(statuses: MigrationStatus[], files: readonly MigrationFile[]): Promise<void> {
  for (const [index, status] of statuses.entries()) {
    const file = files.find(({ name }) => name === status.name);
    if (status.kind !== null || file === undefined) continue;
    const loaded = await loadMigration(file).catch(() => null);
    statuses[index] = { ...status, kind: loaded?.kind ?? null };
  }
}

async function readAll(
  session: Session,
  files: readonly MigrationFile[],
  schema: string,
): Promise<MigrationStatus[]> {
  const present = new Set(files.map(({ name }) => name));
  if ((await readLedgerVersion(session, schema)) === null) {
    return files.map(({ name }) => statusOf(name, { present: true }));
  }
  const names = ledgerNames(schema);
  const executed = new Map((await listExecuted(session, names)).map((row) => [row.name, row]));
  const runs = new Map((await latestRuns(session, names)).map((run) => [run.name, run]));
  const all = [...new Set([...present, ...executed.keys()])].sort((a, b) => (a < b ? -1 : 1));
  const statuses: MigrationStatus[] = [];
  for (const name of all) {
    const upRun = runs.get(name);
    const isReverting = upRun?.state === 'reverting';
    const down = isReverting ? await findLiveRun(session, names, name, 'down') : null;
    const shown = down ?? upRun;
    const sums = shown === undefined ? undefined : await totals(session, names, shown.id);
    const quarantine =
      sums === undefined || sums.quarantined === 0 || shown === undefined
        ? undefined
        : await listQuarantined(session, names, shown.id, mostListed);
    const isLive = shown !== undefined && shown.state !== 'done' && shown.state !== 'reverted';
    const reading = isLive ? await readRunning(session, names, shown.id) : undefined;
    const base = { present: present.has(name), executed: executed.get(name) };
    statuses.push(statusOf(name, { ...base, run: upRun, down, sums, reading, quarantine }));
  }
  return statuses;
}

function statusOf(
  name: string,
  found: {
    present: boolean;
    executed?: ExecutedMigration | undefined;
    run?: LatestRun | undefined;
    down?: Run | null;
    sums?: RunTotals | undefined;
    reading?: RunReading | undefined;
    quarantine?: Awaited<ReturnType<typeof listQuarantined>> | undefined;
  },
): MigrationStatus {
  const { executed, run, down, sums } = found;
  const state = stateOf(found);
  const isBegun = run !== undefined && run.state !== 'reverted';
  const done = isBegun ? (sums?.rows ?? 0) : 0;
  const left = sums?.estimatedLeft ?? 0;
  const perSecond = (n: number): number | null =>
    isBegun && run.elapsedMs > 0 ? (n * 1_000) / run.elapsedMs : null;
  const rate = perSecond(done);
  const keyRate = perSecond(sums?.passed ?? 0);
  const isRunning = state === 'running' || (state === 'reverting' && down?.state === 'running');
  const pace = found.reading?.overrides.pace;
  return {
    name,
    kind: executed?.kind ?? (run === undefined ? null : 'data'),
    state,
    direction: isBegun ? (down?.direction ?? run.direction) : null,
    fileSha256: executed?.fileSha256 ?? run?.fileSha256 ?? null,
    rows: {
      done,
      estimated: isBegun ? Math.max(done, isRunning && left < 1e9 ? Math.round(done + left) : done) : 0,
      quarantined: isBegun ? (found.quarantine?.count ?? 0) : 0,
    },
    ranges: { done: isBegun ? (sums?.rangesDone ?? 0) : 0, open: isBegun ? (sums?.rangesOpen ?? 0) : 0 },
    chunks: isBegun ? (sums?.chunks ?? 0) : 0,
    retries: isBegun ? (sums?.retries ?? 0) : 0,
    rowsPerSecond: rate === null ? null : Math.round(rate),
    etaSeconds:
      isRunning && keyRate !== null && keyRate > 0 && left < 1e9 ? Math.round(left / keyRate) : null,
    chunkSize: done > 0 && sums !== undefined && sums.chunks > 0 ? Math.round(done / sums.chunks) : null,
    workers: isRunning ? (sums?.workers ?? []).map(workerOf) : [],
    throttled: isRunning ? paceReason(pace ?? null) : null,
    settings: found.reading?.overrides ?? {},
    startedAt: isBegun ? run.startedAt : null,
    finishedAt: isBegun ? run.finishedAt : null,
    executedAt: executed?.executedAt ?? null,
    error: isBegun ? (run.error ?? (state === 'failed' ? (sums?.lastError ?? null) : null)) : null,
    quarantine: (found.quarantine?.rows ?? []).map(({ key, attempts, error: why }) => ({
      key,
      attempts,
      error: why,
    })),
  };
}

function stateOf({
  present,
  executed,
  run,
}: {
  present: boolean;
  executed?: ExecutedMigration | undefined;
  run?: LatestRun | undefined;
}): MigrationState {
  if (executed !== undefined) return present ? 'executed' : 'missing';
  if (run === undefined || run.state === 'done' || run.state === 'reverted') return 'pending';
  return run.state;
}

/** The ledger names a worker `host:pid:lane`; a host's name may hold colons. */
function workerOf({ worker, no }: RunTotals['workers'][number]): MigrationStatus['workers'][number] {
  const parts = worker.split(':');
  return { host: parts.slice(0, -2).join(':'), pid: Number(parts.at(-2)), range: no };
}
