import { findLedger } from '../ledger/ledger.ts';
import type { MigrationFile } from '../migration/file/folder.ts';
import type { Session } from '../postgres/session.ts';
import type { RevertTarget } from './pending/requests.ts';

/** What a rollback of these migrations would be about, as the ledger knows it. Reads only. */
export async function describeTargets(
  session: Session,
  schema: string,
  targets: readonly MigrationFile[],
): Promise<readonly RevertTarget[]> {
  const ledger = await findLedger(session, schema);
  if (ledger === null) return [];
  const runs = new Map((await ledger.runs.latest()).map((run) => [run.name, run]));
  const described: RevertTarget[] = [];
  for (const { name } of targets) {
    const run = runs.get(name);
    if (run === undefined) {
      described.push({ name, kind: 'schema', rows: 0, quarantined: 0, upMs: null, isBegun: false });
      continue;
    }
    const { rows, quarantined } = await ledger.ranges.totals(run.id);
    const upMs = run.finishedAt === null ? null : run.elapsedMs;
    described.push({ name, kind: 'data', rows, quarantined, upMs, isBegun: run.state === 'reverting' });
  }
  return described;
}
