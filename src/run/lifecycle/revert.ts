import { type Survey, matchingOf, surveyOfDone } from '../../core/size/survey.ts';
import { fail } from '../../errors.ts';
import type { Run, RunPlan, RunTotals } from '../../ledger/run/rows.ts';
import { ensureLedger } from '../../ledger/schema.ts';
import { otherTable } from '../../migration/select/identity.ts';
import type { Session } from '../../postgres/session.ts';
import { inOrder } from '../../postgres/transaction.ts';
import { refuseOtherArgs, shownArgs } from '../checks/args.ts';
import { refuseOtherFile, refuseOtherOrder, refuseOtherPlan } from '../checks/drift.ts';
import { type RunEnvironment, byUser } from '../context/environment.ts';
import type { Plan, PlannedMigration } from '../analyze/plan.ts';
import { afterPassesOf, recordRun } from './finish.ts';
import { refuseUnfitServer } from './fit-server.ts';
import { refuseHeld, refuseUnlessRunning } from './held.ts';
import {
  type TakeUp,
  type Turn,
  attended,
  hasKnownRanges,
  layOutAtOnce,
  recordAttempt,
  renumbered,
} from './register.ts';
import { refuseQuarantined } from './retry.ts';
import { refuseUnsound } from './soundness.ts';
import { planWayBack } from './way-back.ts';

/**
 * Begins the rollback of a finished or half-done run, or resumes one that is half done (protocol D1 and
 * D2). The new epoch stops the old run's transactions: those past their check are waited for, all others
 * can no longer commit, so the cursors that are laid out are final. Null: there is nothing to revert.
 */
export async function registerDown(
  session: Session,
  env: RunEnvironment,
  { migration, plan }: PlannedMigration,
  { turn, refuse, lift, only, restore }: Turn & Pick<TakeUp, 'lift' | 'only'> & Restoring,
): Promise<Run | null> {
  const ledger = env.ledger(session);
  return await attended(session, env, env.pinned, async () => {
    await session.query(env.unhurried);
    // Without it two hosts would begin the same rollback, or `up` would resume a run that this one reverts.
    await ensureLedger(session, env.ledgerSchema, { ...turn, begin: env.hurried });
    await refuseUnfitServer(session, env);
    const live = await ledger.runs.findLive(migration.name, 'down');
    if (only !== undefined) refuseUnlessRunning(migration.name, live);
    await refuseUnsound(session, env, migration.name);
    if (live !== null) {
      if (!lift) await refuseHeld(ledger, live);
      refuseOtherArgs(live, migration);
      return await resume(session, env, live, { migration, plan });
    }
    await refuse(session);
    const upRun = await ledger.runs.lockToRevert(migration.name);
    if (upRun === null) return null;
    if (restore === null) refuseOtherTable(migration.name, upRun, plan);
    refuseOtherArgs(upRun, migration);
    await ledger.runs.changeState(upRun.id, 'reverting');
    await ledger.migrations.forget(migration.name);
    const done = await ledger.ranges.totals(upRun.id);
    const matching = matchingOf(plan.stored.survey) ?? -1;
    const back = await storedWay(session, env, { upRun, plan, restore });
    const run = await ledger.runs.insert({
      name: migration.name,
      direction: 'down',
      reverts: upRun.id,
      plan: back ?? (hasKnownRanges(upRun) ? wayBack(plan, upRun.plan.survey, done) : plan.stored),
      ...migration.hashes,
      planSha256: plan.sha256,
      estimatedRows: back === null && hasKnownRanges(upRun) ? done.rows : matching,
    });
    const [laidOut] = await inOrder([
      layOutAtOnce(session, env, run),
      ledger.history.record('started', run, shownArgs(run)),
    ]);
    return laidOut;
  });
}

/** What a rollback restores; null: it runs the `down` of its file. */
export interface Restoring {
  readonly restore: { readonly overwrite: boolean } | null;
}

/** Once the run cannot continue: what it has stored is all there by now. */
async function storedWay(
  session: Session,
  env: RunEnvironment,
  { upRun, plan, restore }: Restoring & { readonly upRun: Run; readonly plan: Plan },
): Promise<RunPlan | null> {
  if (restore === null) return null;
  const images = await planWayBack(session, env, upRun, restore.overwrite);
  if (images.isMerged) await env.ledger(session).restoration.indexKeys(images.images);
  return { ...plan.stored, images };
}

const keptImages = ({ plan: { images } }: Run): Pick<RunPlan, 'images'> =>
  images === undefined ? {} : { images };

/** A rollback that has failed may be fixed; what is under way continues as it began, on all hosts. */
async function resume(
  session: Session,
  env: RunEnvironment,
  run: Run,
  { migration, plan }: PlannedMigration,
): Promise<Run> {
  const ledger = env.ledger(session);
  if (run.state === 'running') {
    refuseOtherFile(run, migration.hashes);
    refuseOtherPlan(run, plan);
    await recordAttempt(session, env, run);
    return await renumbered(session, env, run, plan);
  }
  await refuseQuarantined(session, env, run);
  refuseOtherTable(migration.name, run, plan);
  // The sweeps that it has made before it failed are no part of those that it makes now.
  const { mainPass = 0 } = run.plan;
  await ledger.runs.adopt(run.id, {
    ...migration.hashes,
    planSha256: plan.sha256,
    plan: { ...wayBack(plan, run.plan.survey), ...keptImages(run), mainPass },
  });
  await ledger.ranges.resetRetries(run.id);
  await ledger.history.record('resumed', { ...run, ...migration.hashes });
  return await ledger.runs.changeState(run.id, 'running');
}

/** Its ranges are what `up` has done: where its rows lie is known from what was drawn for `up`. */
function wayBack({ stored }: Plan, survey: Survey | undefined, done?: RunTotals): RunPlan {
  const { survey: _own, ...plan } = stored;
  if (survey === undefined) return plan;
  return { ...plan, survey: done === undefined ? survey : surveyOfDone(survey, done) };
}

function refuseOtherTable(name: string, earlier: Run, plan: Plan): void {
  const before = earlier.plan.base;
  refuseOtherOrder(earlier, plan.base);
  const other = otherTable(before, plan.base);
  if (other === null) return;
  throw fail('NO_DOWN', {
    message: `${name}: down.select reads a different table or key than select did`,
    detail: other,
    hint: 'down reverts the ranges that up has done: use the same table and key',
  });
}

/**
 * Ends a rollback of which no chunk is committed: what it would have reverted is as it was before, or parked where it was
 * half done. Call under the rollback's lock; the rollback as it is afterwards.
 */
export async function abandonRollback(session: Session, env: RunEnvironment, down: Run): Promise<Run> {
  const ledger = env.ledger(session);
  const { run: up, openRanges, quarantined } = await ledger.runs.lock(down.reverts ?? '');
  const isDone =
    up.isLaidOut &&
    openRanges === 0 &&
    quarantined === 0 &&
    (await afterPassesOf(session, env, up)) !== 'sweep';
  const abandoned = await ledger.runs.changeState(down.id, 'reverted');
  await ledger.runs.changeState(up.id, isDone ? 'done' : 'cancelled', up.error);
  if (isDone) await recordRun(session, env, up);
  await ledger.history.record('cancelled', down, byUser(env));
  return abandoned;
}
