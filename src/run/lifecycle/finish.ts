import { rowsAre } from '../../core/values/numbers.ts';
import type { Run } from '../../ledger/run/rows.ts';
import { fail } from '../../errors.ts';
import { isKeyless } from '../../migration/key/key.ts';
import type { Session } from '../../postgres/session.ts';
import { inOneTrip, inOrder, withTransaction } from '../../postgres/transaction.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { afterPasses } from '../../core/size/sweep.ts';
import type { DataMigration } from '../context/step.ts';
import { chooseOrder } from './choose-order.ts';
import { isAnyLeft } from './left-behind.ts';
import { keepToPart } from '../order/key-part.ts';
import { makeLayout } from '../order/layout.ts';

/** A run after `finish`. `endless`: its sweeps would find rows forever, so it was ended without another one. */
export interface Finished {
  readonly run: Run;
  readonly isEndless: boolean;
}

/**
 * Ends a run when no range is open (protocol T5 and D3): as failed where rows are quarantined, with a sweep where
 * one is due, else its state and the table that Umzug reads change in one transaction. Any host may call it, any
 * number of times. Returns the run as it is afterwards. Throws where a run without keys does not come to an end.
 */
export async function finish(
  session: Session,
  env: RunEnvironment,
  { runId, migration }: { readonly runId: string; readonly migration: DataMigration },
): Promise<Finished> {
  const ledger = env.ledger(session);
  const seen = await lookAtOnce(session, env, { runId, migration });
  const finished = await withTransaction(session, env.pinned, async () => {
    const { run, openRanges, quarantined } = await ledger.runs.lock(runId);
    if (run.state !== 'running' || !run.isLaidOut || openRanges > 0) return { run, isEndless: false };
    if (run.plan.auto?.state === 'undecided') {
      await chooseOrder(session, env, migration, run);
      return { run: await ledger.runs.read(run.id), isEndless: false };
    }
    if (quarantined > 0) {
      if (await triesAgain(session, env, run, quarantined)) return { run, isEndless: false };
      const error = rowsAre(quarantined, 'quarantined');
      await ledger.history.record('failed', run, { error });
      return { run: await ledger.runs.changeState(run.id, 'failed', error), isEndless: false };
    }
    const swept = await sweepAgain(session, env, run, seen);
    if (swept === 'sweep') return { run: await ledger.runs.read(run.id), isEndless: false };
    if (swept === 'endless' && isKeyless(run.plan.base)) {
      return { run: await failEndless(session, env, run), isEndless: true };
    }
    const [done] = await inOrder([
      ledger.runs.changeState(run.id, 'done'),
      run.reverts === null
        ? recordRun(session, env, run)
        : recordReverted(session, env, run.name, run.reverts),
      ledger.history.record(run.reverts === null ? 'finished' : 'reverted', run),
    ]);
    return { run: done, isEndless: swept === 'endless' };
  });
  if (finished.isEndless && finished.run.state === 'failed') throw endlessError(finished.run);
  return finished;
}

/** What a look at a whole table has shown when this pass of its run had found nothing. */
interface Seen {
  readonly pass: number;
  readonly isAnyLeft: boolean;
}

/**
 * A sweep by places may miss a row that moves behind it. So before a run without keys ends, one statement looks at the
 * whole table as it is at one moment; no lock of the ledger is held for so long. Null: the run does not end now.
 */
async function lookAtOnce(
  session: Session,
  env: RunEnvironment,
  { runId, migration }: { readonly runId: string; readonly migration: DataMigration },
): Promise<Seen | null> {
  const run = await inOneTrip(session, env.pinned, () => env.ledger(session).runs.read(runId));
  if (!isKeyless(run.plan.base) || run.state !== 'running') return null;
  const next = await withTransaction(session, env.pinned, () => afterPassesOf(session, env, run));
  return next === 'done'
    ? { pass: run.pass, isAnyLeft: await isAnyLeft(session, env, migration, run) }
    : null;
}

/**
 * Rows that were there before the run may be among those that its sweeps have not found. The next `up` makes as many
 * sweeps again.
 */
async function failEndless(session: Session, env: RunEnvironment, run: Run): Promise<Run> {
  const ledger = env.ledger(session);
  const { message: error } = endlessError(run);
  await ledger.runs.replan({ ...run, plan: { ...run.plan, mainPass: run.pass } });
  await ledger.history.record('failed', run, { error });
  return await ledger.runs.changeState(run.id, 'failed', error);
}

function endlessError({ name, direction, plan: { base } }: Run): Error {
  return fail('MIGRATION_FAILED', {
    message: `${name}: rows of "${base.name}" match select again as fast as they are migrated`,
    detail:
      'without a key, rows that were moved and missed cannot be told from new ones; what is done is kept',
    hint: `first deploy what writes rows that do not match, then run \`${direction}\` again`,
  });
}

/**
 * Puts the quarantined rows of a rollback back that restores stored values, as long as that helps: what another row held, or
 * referred to, is there once that one is restored.
 */
async function triesAgain(
  session: Session,
  env: RunEnvironment,
  run: Run,
  quarantined: number,
): Promise<boolean> {
  const { images } = run.plan;
  if (images === undefined || quarantined >= (images.tried ?? Infinity)) return false;
  const ledger = env.ledger(session);
  await ledger.runs.noteTried(run.id, quarantined);
  const rows = await ledger.quarantine.reopen(run.id);
  await ledger.history.record('retried', run, { rows });
  return true;
}

/** One that was run more than once is still executed by the run before, to which `down` comes next. */
async function recordReverted(
  session: Session,
  env: RunEnvironment,
  name: string,
  id: string,
): Promise<void> {
  const ledger = env.ledger(session);
  await ledger.runs.changeState(id, 'reverted');
  const earlier = await ledger.runs.findDone(name);
  if (earlier === null) await ledger.migrations.forget(name);
  else await recordRun(session, env, earlier);
}

/** Records the migration of a run as executed. */
export async function recordRun(session: Session, { ledger }: RunEnvironment, run: Run): Promise<void> {
  const { id, name, fileSha256, imports } = run;
  await ledger(session).migrations.record({ name, kind: 'data', runId: id, fileSha256, imports });
}

/**
 * Marks a running run as failed; does nothing where another host moved it on. Where no chunk ever succeeded
 * nothing stays quarantined: it is the code that fails, not the rows.
 */
export async function failRun(
  session: Session,
  env: RunEnvironment,
  { id, epoch }: Run,
  error: string,
): Promise<void> {
  const ledger = env.ledger(session);
  await withTransaction(session, env.pinned, async () => {
    const { run } = await ledger.runs.lock(id);
    if (run.state !== 'running' || run.epoch !== epoch) return;
    await ledger.runs.changeState(id, 'failed', error);
    await ledger.history.record('failed', run, { error });
    const { hasSucceeded } = await ledger.failures.facts(id);
    if (!hasSucceeded) await ledger.quarantine.reopen(id);
  });
}

/** What becomes of a run of which a pass is done: see `afterPasses`. */
export type Swept = 'sweep' | 'done' | 'endless';

/** What becomes of a run whose present pass has no open range. */
export async function afterPassesOf(
  session: Session,
  env: RunEnvironment,
  run: Run,
  isAnyLeft = false,
): Promise<Swept> {
  if (run.plan.sweeps !== true) return 'done';
  const rows = await env.ledger(session).runs.rowsByPass(run.id);
  return afterPasses(rows.slice(run.plan.mainPass ?? 0), isAnyLeft);
}

/**
 * Lays out the next sweep of a run whose present pass has no open range, where one is due. In the transaction that
 * would end the run, under its lock: no other host lays out the same one, and a crash leaves either none or all of
 * it. A sweep goes over all keys that there are now, as one range: it is expected to find little.
 */
async function sweepAgain(
  session: Session,
  env: RunEnvironment,
  run: Run,
  seen: Seen | null,
): Promise<Swept> {
  const ledger = env.ledger(session);
  const isUnseen = seen?.pass !== run.pass || seen.isAnyLeft;
  const next = await afterPassesOf(session, env, run, isKeyless(run.plan.base) && isUnseen);
  if (next !== 'sweep') return next;
  const layout = await makeLayout(session, run.plan, 0);
  await ledger.runs.beginPass(run.id, layout.stopKey);
  await ledger.ranges.layOut(run.id, layout);
  await keepToPart(session, env, run);
  return 'sweep';
}
