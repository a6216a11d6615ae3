import { isHeld, isLive } from '../../core/config/states.ts';
import type { ExecutedMigration, Recreated } from '../../ledger/migrations.ts';
import { type Ledger, findLedger } from '../../ledger/ledger.ts';
import type { Config } from '../../config/config.ts';
import { placeOf } from '../../migration/file/folder.ts';
import type { Session } from '../../postgres/session.ts';

/** What the ledger says before a command decides. */
export interface LedgerState {
  readonly exists: boolean;
  /** Without those that are being run once more: such a run is to be gone on with. */
  readonly executed: readonly ExecutedMigration[];
  /** Names of migrations whose run is started and not ended. */
  readonly live: readonly string[];
  /** Those of them that are paused or cancelled. */
  readonly held: readonly string[];
  /** Pending ones that may run although later ones are executed. */
  readonly allowed: readonly string[];
  /** Migrations whose table was recreated since. */
  readonly recreated: readonly Recreated[];
  /** Values are stored for longer than their migrations say. */
  readonly hasExpired: boolean;
  /** Migrations that were run or started from another folder than this host's, by name with that folder. */
  readonly elsewhere: ReadonlyMap<string, string>;
}

const none: LedgerState = {
  exists: false,
  executed: [],
  live: [],
  held: [],
  allowed: [],
  recreated: [],
  hasExpired: false,
  elsewhere: new Map(),
};

/** Reads the ledger; a database without one has nothing executed. Writes nothing. */
export async function readState(
  session: Session,
  { ledgerSchema, migrationsDirs }: Pick<Config, 'ledgerSchema' | 'migrationsDirs'>,
): Promise<LedgerState> {
  const ledger = await findLedger(session, ledgerSchema);
  if (ledger === null) return none;
  const executed = await ledger.migrations.list();
  const runs = await ledger.runs.latest();
  const live = runs.filter(({ state }) => isLive(state)).map(({ name }) => name);
  const recreated = await ledger.migrations.recreatedTables();
  const elsewhere = await foldersElsewhere(ledger, migrationsDirs);
  const begun = new Set(live);
  const held = runs.filter(({ state }) => isHeld(state));
  return {
    exists: true,
    recreated,
    hasExpired: (await ledger.forgetting.expired()).length > 0,
    elsewhere,
    executed: executed.filter(({ name }) => !begun.has(name)),
    live,
    held: held.map(({ name }) => name),
    allowed: await ledger.migrations.allowed(),
  };
}

/** Migrations that belong to another folder than these: their files are not missed in them. None where there is no folder. */
export async function foldersElsewhere(
  ledger: Ledger,
  folders: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  if (folders.length === 0) return new Map();
  const own = new Set(folders.map(placeOf));
  return new Map([...(await ledger.migrations.folders())].filter(([, folder]) => !own.has(folder)));
}
