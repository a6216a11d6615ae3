import { fail } from '../errors.ts';
import { forgetExecuted } from '../ledger/migrations.ts';
import type { Run } from '../ledger/rows.ts';
import {
  changeState,
  findLiveRun,
  findRunToRevert,
  insertRun,
  layOutDone,
  resetRetries,
} from '../ledger/runs.ts';
import type { Session } from '../postgres/session.ts';
import { withTransaction } from '../postgres/transaction.ts';
import type { RunEnvironment } from './environment.ts';
import type { DataMigration, Plan } from './plan.ts';
import { refuseQuarantined } from './retry.ts';

/**
 * Begins the rollback of a finished or half-done run, or takes up one that is half done (protocol D1 and
 * D2). The new epoch stops the old run's transactions: those past their check are waited for, all others
 * can no longer commit, so the cursors that are laid out are final. Null: there is nothing to revert.
 */
export async function registerDown(
  session: Session,
  env: RunEnvironment,
  migration: DataMigration,
  plan: Plan,
): Promise<Run | null> {
  return await withTransaction(session, env.pinned, async () => {
    const live = await findLiveRun(session, env.names, migration.name, 'down');
    if (live !== null) {
      if (live.state === 'running') return live;
      await refuseQuarantined(session, env, live);
      await resetRetries(session, env.names, live.id);
      return await changeState(session, env.names, live.id, 'running');
    }
    const upRun = await findRunToRevert(session, env.names, migration.name);
    if (upRun === null) return null;
    refuseOtherTable(migration.name, upRun, plan);
    await changeState(session, env.names, upRun.id, 'reverting');
    await forgetExecuted(session, env.names, migration.name);
    const run = await insertRun(session, env.names, {
      name: migration.name,
      direction: 'down',
      reverts: upRun.id,
      plan: plan.stored,
      fileSha256: migration.sha256,
      planSha256: plan.sha256,
      stopKey: upRun.stopKey,
      estimatedRows: upRun.estimatedRows,
    });
    await layOutDone(session, env.names, upRun.id, run.id);
    return run;
  });
}

function refuseOtherTable(name: string, upRun: Run, plan: Plan): void {
  const before = upRun.plan.base;
  const same = before.oid === plan.base.oid && JSON.stringify(before.key) === JSON.stringify(plan.base.key);
  if (same) return;
  throw fail('NO_DOWN', {
    message: `${name}: down.select reads another table or key than select did`,
    detail: `select read ${before.schema}.${before.name}, down.select reads ${plan.base.schema}.${plan.base.name}`,
    hint: 'down goes back over the ranges that up has done: name the same table and key',
  });
}
