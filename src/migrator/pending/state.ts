import { isLive } from '../../core/config/states.ts';
import type { ExecutedMigration, Recreated } from '../../ledger/migrations.ts';
import { findLedger } from '../../ledger/ledger.ts';
import type { Session } from '../../postgres/session.ts';

/** What the ledger says before a command decides. */
export interface LedgerState {
  readonly exists: boolean;
  /** Without those that are being run once more: such a run is to be gone on with. */
  readonly executed: readonly ExecutedMigration[];
  /** Names of migrations whose run is begun and not ended. */
  readonly live: readonly string[];
  /** Migrations whose table was recreated since. */
  readonly recreated: readonly Recreated[];
}

/** Reads the ledger; a database without one has nothing executed. Writes nothing. */
export async function readState(session: Session, schema: string): Promise<LedgerState> {
  const ledger = await findLedger(session, schema);
  if (ledger === null) return { exists: false, executed: [], live: [], recreated: [] };
  const executed = await ledger.migrations.list();
  const runs = await ledger.runs.latest();
  const live = runs.filter(({ state }) => isLive(state)).map(({ name }) => name);
  const recreated = await ledger.migrations.recreatedTables();
  const begun = new Set(live);
  return { exists: true, recreated, executed: executed.filter(({ name }) => !begun.has(name)), live };
}
