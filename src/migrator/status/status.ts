import { type MigrationState, isLive } from '../../core/config/states.ts';
import type { Control } from '../../cluster/worker/control.ts';
import type { Config } from '../../config/config.ts';
import { databaseLabel } from '../../config/database.ts';
import { standingOf } from '../../core/progress/standing.ts';
import type { Overrides } from '../../core/config/steering.ts';
import type { ExecutedMigration } from '../../ledger/migrations.ts';
import type { Conflicts } from '../../ledger/run/conflicts.ts';
import type { Run } from '../../ledger/run/rows.ts';
import type { Runs } from '../../ledger/run/runs.ts';
import { findLedger } from '../../ledger/ledger.ts';
import { readLedgerVersion } from '../../ledger/schema.ts';
import type { MigrationFile } from '../../migration/file/folder.ts';
import { kindOf } from '../../migration/file/loader.ts';
import type { Session } from '../../postgres/session.ts';
import { reading } from '../../postgres/transaction.ts';
import { type Activity, attendanceOf } from './activity.ts';
import { foldersElsewhere } from '../pending/state.ts';
import { type FullReading, readRuns } from './run-reading.ts';
import { unknownName } from '../pending/umzug.ts';

/** One migration as `status --json` prints it. A field that does not apply is null or 0. */
export interface MigrationStatus extends Activity {
  readonly name: string;
  readonly kind: 'data' | 'schema' | null;
  readonly state: MigrationState;
  readonly direction: 'up' | 'down' | null;
  /** Of the run that the other fields are about: of its rollback, where one is started. */
  readonly runId: string | null;
  readonly fileSha256: string | null;
  /** True where this host has no file of it: nobody can resume it here. */
  readonly fileMissing: boolean;
  /** True where its table was dropped and made again since it ran: what it did is gone. */
  readonly tableRecreated: boolean;
  /** `estimated`: done, quarantined and left; null: not known. */
  readonly rows: { readonly done: number; readonly estimated: number | null; readonly quarantined: number };
  /** Share done, 0 to 1; 1 only when it is done; null: not known. */
  readonly fraction: number | null;
  readonly ranges: { readonly done: number; readonly open: number };
  readonly chunks: number;
  /** Chunks that were tried again for what passes, such as a deadlock or a lost connection. */
  readonly retries: number;
  readonly rowsPerSecond: number | null;
  readonly etaSeconds: number | null;
  readonly chunkSize: number | null;
  /** What an operator has set for the run, on all hosts. */
  readonly settings: Overrides;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly executedAt: string | null;
  readonly error: string | null;
  /** What its runs have stored to be rolled back, in bytes; null: nothing. */
  readonly undo: { readonly bytes: number } | null;
  /** What its last rollback by stored values did not restore, unless it was run again since; null: it restored all. */
  readonly conflicts: Conflicts | null;
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

type LatestRun = Awaited<ReturnType<Runs['latest']>>[number];

/** Reads the ledger and the folder into one report. */
export async function statusReport(
  files: readonly MigrationFile[],
  config: Config,
  control: Control,
  only?: string,
): Promise<StatusReport> {
  const database = databaseLabel(config.database);
  const { ledgerSchema } = config;
  const [found, version] = await control.use((session) =>
    reading(session, async () => [
      await readAll(session, files, config),
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

/** The kind of what never ran is in its file; a file that does not load has none. */
async function addKinds(statuses: MigrationStatus[], files: readonly MigrationFile[]): Promise<void> {
  const byName = new Map(files.map((file) => [file.name, file]));
  for (const [index, status] of statuses.entries()) {
    const file = byName.get(status.name);
    if (status.kind !== null || file === undefined) continue;
    statuses[index] = { ...status, kind: await kindOf(file).catch(() => null) };
  }
}

async function readAll(
  session: Session,
  files: readonly MigrationFile[],
  { ledgerSchema, migrationsDirs }: Config,
): Promise<MigrationStatus[]> {
  const present = new Set(files.map(({ name }) => name));
  const ledger = await findLedger(session, ledgerSchema);
  if (ledger === null) {
    return files.map(({ name }) => statusOf(name, { present: true }));
  }
  const executed = new Map((await ledger.migrations.list()).map((row) => [row.name, row]));
  const runs = new Map((await ledger.runs.latest()).map((run) => [run.name, run]));
  const recreated = new Set((await ledger.migrations.recreatedTables()).map(({ name }) => name));
  // Somebody else's file may be missing here: a run that is started and not ended is shown all the same.
  const begun = [...runs.values()].filter(({ state }) => isLive(state));
  const elsewhere = await foldersElsewhere(ledger, migrationsDirs);
  const known = [...executed.keys()].filter((name) => !elsewhere.has(name));
  const all = [...new Set([...present, ...known, ...begun.map(({ name }) => name)])].sort((a, b) =>
    a < b ? -1 : 1,
  );
  const rollbacks = (await ledger.runs.live()).filter(({ direction }) => direction === 'down');
  const downs = new Map(rollbacks.map((run) => [run.name, run]));
  const stored = await ledger.forgetting.stored();
  const conflicts = await ledger.conflicts.latest();
  const shown = all.flatMap((name) => downs.get(name) ?? runs.get(name) ?? []);
  const readings = await readRuns(session, ledger, shown);
  return all.map((name) => {
    const [run, down] = [runs.get(name), downs.get(name) ?? null];
    return statusOf(name, {
      present: present.has(name),
      executed: executed.get(name),
      isRecreated: recreated.has(name),
      run,
      down,
      read: readings.get((down ?? run)?.id ?? ''),
      bytes: stored.filter((one) => one.name === name).reduce((sum, one) => sum + one.bytes, 0),
      conflicts: conflicts.get(name) ?? null,
    });
  });
}

interface Found {
  readonly present: boolean;
  readonly isRecreated?: boolean;
  readonly executed?: ExecutedMigration | undefined;
  readonly run?: LatestRun | undefined;
  readonly down?: Run | null;
  readonly read?: FullReading | undefined;
  readonly bytes?: number;
  readonly conflicts?: Conflicts | null;
}

function statusOf(name: string, found: Found): MigrationStatus {
  const { executed, run, down, bytes = 0, conflicts = null } = found;
  const state = stateOf(found);
  const isBegun = run !== undefined && run.state !== 'reverted';
  const read = isBegun ? found.read : undefined;
  const { rows: done = 0, chunks = 0, rangesDone = 0, rangesOpen = 0 } = read?.sums ?? {};
  const isOpen = state !== 'executed' && state !== 'missing' && state !== 'pending';
  const now = isOpen && read !== undefined && run !== undefined ? standingOf(down ?? run, read.sums) : null;
  const ended =
    state === 'pending' ? { rowsEstimated: null, fraction: null } : { rowsEstimated: done, fraction: 1 };
  const { rowsEstimated, fraction } = now ?? ended;
  const error = run?.error ?? (state === 'failed' ? (read?.sums.lastError ?? null) : null);
  return {
    name,
    kind: executed?.kind ?? (run === undefined ? null : 'data'),
    state,
    direction: isBegun ? (down?.direction ?? run.direction) : null,
    runId: isBegun ? (down ?? run).id : null,
    fileSha256: executed?.fileSha256 ?? run?.fileSha256 ?? null,
    fileMissing: !found.present,
    tableRecreated: found.isRecreated === true,
    rows: {
      done,
      estimated: rowsEstimated,
      quarantined: read?.quarantine.count ?? 0,
    },
    fraction,
    ranges: { done: rangesDone, open: rangesOpen },
    chunks,
    retries: read?.sums.retries ?? 0,
    ...speedOf(read),
    chunkSize: read?.hosts[0]?.chunkSize || (done > 0 && chunks > 0 ? Math.round(done / chunks) : null),
    ...attendanceOf(read, down),
    settings: state === 'executed' ? {} : (read?.reading.overrides ?? {}),
    startedAt: isBegun ? run.startedAt : null,
    finishedAt: isBegun ? run.finishedAt : null,
    executedAt: executed?.executedAt ?? null,
    error: isBegun ? error : null,
    undo: bytes === 0 ? null : { bytes },
    conflicts,
    quarantine: (read?.quarantine.rows ?? []).map(({ key, attempts, error: why }) => ({
      key,
      attempts,
      error: why,
    })),
  };
}

/** As the hosts that work on it measure it: time alone says nothing, since a run may have been interrupted. */
function speedOf(read: FullReading | undefined): Pick<MigrationStatus, 'rowsPerSecond' | 'etaSeconds'> {
  const { rowsPerSecond = null, etaSeconds = null } = read?.hosts[0] ?? {};
  return {
    rowsPerSecond: rowsPerSecond === null ? null : Math.round(rowsPerSecond),
    etaSeconds: etaSeconds === null ? null : Math.round(etaSeconds),
  };
}

function stateOf({ present, executed, run, read }: Found): MigrationState {
  if (run?.state === 'running' && read?.abandonedMs != null) return 'interrupted';
  if (run !== undefined && isLive(run.state)) return run.state;
  if (executed === undefined) return 'pending';
  return present ? 'executed' : 'missing';
}
