import { findLedger } from '../ledger/ledger.ts';
import type { MigrationFile } from '../migration/file/folder.ts';
import type { Session } from '../postgres/session.ts';
import { loadMigration } from '../migration/file/loader.ts';
import type { BackOptions } from '../run/lifecycle/way-back.ts';
import type { RevertTarget } from './pending/requests.ts';

/** What a rollback of these migrations would be about, as the ledger knows it. Reads only. */
export async function describeTargets(
  session: Session,
  schema: string,
  targets: readonly MigrationFile[],
  { images = false, overwrite = false }: BackOptions,
): Promise<readonly RevertTarget[]> {
  const ledger = await findLedger(session, schema);
  if (ledger === null) return [];
  const runs = new Map((await ledger.runs.latest()).map((run) => [run.name, run]));
  const described: RevertTarget[] = [];
  for (const file of targets) {
    const { name } = file;
    const run = runs.get(name);
    if (run === undefined) {
      described.push({
        name,
        kind: 'schema',
        rows: 0,
        quarantined: 0,
        upMs: null,
        isBegun: false,
        isRestored: false,
      });
      continue;
    }
    const { rows, quarantined } = await ledger.ranges.totals(run.id);
    const upMs = run.finishedAt === null ? null : run.elapsedMs;
    const isBegun = run.state === 'reverting';
    const begun = isBegun ? await ledger.runs.findLive(name, 'down') : null;
    const isStored =
      run.plan.undo !== undefined && (images || overwrite || (await loadMigration(file)).down === null);
    const isRestored = begun === null ? isStored : begun.plan.images !== undefined;
    described.push({ name, kind: 'data', rows, quarantined, upMs, isBegun, isRestored });
  }
  return described;
}
