import { rowsAre } from '../../core/values/numbers.ts';
import type { Run } from '../../ledger/run/rows.ts';
import type { Session } from '../../postgres/session.ts';
import { inOrder, withTransaction } from '../../postgres/transaction.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { afterPasses } from '../../core/size/sweep.ts';
import { makeLayout } from './layout.ts';

/** A run after `finish`. `endless`: its sweeps would find rows forever, so it was ended without another one. */
export interface Finished {
  readonly run: Run;
  readonly isEndless: boolean;
}

/**
 * Ends a run when no range is open (protocol T5 and D3): as failed where rows are quarantined, with a sweep where
 * one is due, else its state and the table that Umzug reads change in one transaction. Any host may call it, any
 * number of times. Returns the run as it is afterwards.
 */
export async function finish(session: Session, env: RunEnvironment, runId: string): Promise<Finished> {
  const ledger = env.ledger(session);
  return await withTransaction(session, env.pinned, async () => {
    const { run, openRanges, quarantined } = await ledger.runs.lock(runId);
    if (run.state !== 'running' || !run.isLaidOut || openRanges > 0) return { run, isEndless: false };
    if (quarantined > 0) {
      const error = rowsAre(quarantined, 'quarantined');
      await ledger.history.record('failed', run, { error });
      return { run: await ledger.runs.changeState(run.id, 'failed', error), isEndless: false };
    }
    const swept = await sweepAgain(session, env, run);
    if (swept === 'sweep') return { run: await ledger.runs.read(run.id), isEndless: false };
    const [done] = await inOrder([
      ledger.runs.changeState(run.id, 'done'),
      run.reverts === null
        ? recordRun(session, env, run)
        : recordReverted(session, env, run.name, run.reverts),
      ledger.history.record(run.reverts === null ? 'finished' : 'reverted', run),
    ]);
    return { run: done, isEndless: swept === 'endless' };
  });
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
export async function afterPassesOf(session: Session, env: RunEnvironment, run: Run): Promise<Swept> {
  if (run.plan.sweeps !== true) return 'done';
  return afterPasses(await env.ledger(session).runs.rowsByPass(run.id));
}

/**
 * Lays out the next sweep of a run whose present pass has no open range, where one is due. In the transaction that
 * would end the run, under its lock: no other host lays out the same one, and a crash leaves either none or all of
 * it. A sweep goes over all keys that there are now, as one range: it is expected to find little.
 */
async function sweepAgain(session: Session, env: RunEnvironment, run: Run): Promise<Swept> {
  const ledger = env.ledger(session);
  const next = await afterPassesOf(session, env, run);
  if (next !== 'sweep') return next;
  const layout = await makeLayout(session, run.plan, 0);
  await ledger.runs.beginPass(run.id, layout.stopKey);
  await ledger.ranges.layOut(run.id, layout);
  return 'sweep';
}
