import type { Control } from '../../cluster/worker/control.ts';
import type { Config } from '../../config/config.ts';
import { findLedger } from '../../ledger/ledger.ts';
import type { HistoryEntry } from '../../ledger/look/history.ts';
import type { MigrationFile } from '../../migration/file/folder.ts';
import { reading } from '../../postgres/transaction.ts';
import { readState } from '../pending/state.ts';
import { unknownName } from '../pending/umzug.ts';

/** What `history --json` prints. */
export interface HistoryReport {
  /** The latest first. */
  readonly events: readonly HistoryEntry[];
  /** There are older ones than these. */
  readonly hasMore: boolean;
}

/** Reads the latest events of all migrations, or of one. Throws USAGE where nobody has ever heard of it. */
export async function historyReport(
  files: readonly MigrationFile[],
  config: Config,
  control: Control,
  { name, limit }: { readonly name: string | undefined; readonly limit: number },
): Promise<HistoryReport> {
  const { found, state } = await control.use((session) =>
    reading(session, async () => {
      const ledger = await findLedger(session, config.ledgerSchema);
      return {
        found: (await ledger?.history.list(name ?? null, limit + 1)) ?? [],
        state: await readState(session, config),
      };
    }),
  );
  const known = [
    ...new Set([...files, ...state.executed].map((one) => one.name).concat(state.live)),
  ].toSorted();
  if (name !== undefined && found.length === 0 && !known.includes(name))
    throw unknownName(name, known, 'known');
  return { events: found.slice(0, limit), hasMore: found.length > limit };
}
