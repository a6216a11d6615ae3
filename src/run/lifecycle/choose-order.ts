import { keysPerRow } from '../../core/size/survey.ts';
import { guardDatabase } from '../../migration/handle/guard.ts';
import { pickKeys } from '../../migration/chunk/queries.ts';
import type { Key } from '../../migration/key/key.ts';
import { keyAtOffset } from '../../migration/key/queries.ts';
import type { Layout } from '../../ledger/run/ranges.ts';
import type { Run, RunPlan } from '../../ledger/run/rows.ts';
import type { Session } from '../../postgres/session.ts';
import { underAuthorPath } from '../../postgres/transaction.ts';
import { selectOfChunk } from '../analyze/author-select.ts';
import { inBlocks } from '../analyze/passes.ts';
import type { RunEnvironment } from '../context/environment.ts';
import type { DataMigration } from '../context/step.ts';
import { oneKey } from '../order/order.ts';
import { blockLayout, lastKey, makeLayout } from '../order/layout.ts';

/**
 * How a run comes to its order where nobody has asked for one and that of the blocks pays (`options.order`). It is safe
 * for a select that drains alone. So the run first visits some rows by key, as it would anyway. If none of them matches
 * afterwards, it goes over all blocks: what is done is not found again. Else it continues by key behind them. If a chunk
 * of blocks shows that other rows do not drain, it is rolled back, and the rest is visited by key: all that is done
 * has drained, so it is not found again either.
 */

// Some chunks.
const probeRows = 2_000;

// Where few rows match, no more of the table is visited to find some.
const mostProbed = 50_000;

/** The first ranges of a run that is to find out whether its select drains: one range. */
export async function probeLayout(session: Session, plan: RunPlan): Promise<Layout> {
  const { base, survey } = plan;
  const stopKey = await lastKey(session, base);
  if (stopKey === null) return { space: 'keys', stopKey, bounds: [], ends: [] };
  const keys = Math.min(mostProbed, Math.ceil(probeRows * keysPerRow(survey)));
  const end = (await oneKey(session, keyAtOffset(base, null, stopKey, keys - 1))) ?? stopKey;
  return { space: 'keys', stopKey: end, bounds: [end], ends: [keys] };
}

/** Decides on the order of a run whose first rows are done, and lays the rest out. Call under the run's lock. */
export async function chooseOrder(
  session: Session,
  env: RunEnvironment,
  migration: DataMigration,
  run: Run,
): Promise<void> {
  const ledger = env.ledger(session);
  const { auto, ...plan } = run.plan;
  const { stopKey } = run;
  if (auto === undefined || stopKey === null) return;
  const { rows } = await ledger.ranges.totals(run.id);
  const drains = rows > 0 && (await isDrained(session, env, migration, { ...run, stopKey }));
  if (drains) {
    const pass = run.pass + 1;
    const passes = { ...inBlocks(plan.base, plan.survey), mainPass: pass };
    const next: RunPlan = { ...plan, ...passes, auto: { ...auto, state: 'blocks' } };
    const layout = await blockLayout(session, next, env.tuning.workers);
    await ledger.runs.replan({ ...run, plan: next, pass, stopKey: layout.stopKey });
    return await ledger.ranges.layOut(run.id, layout);
  }
  await stayByKey(session, env, run);
}

/** Has a run that was to find out its order continue by key, behind its first rows. Call under the run's lock. */
export async function stayByKey(session: Session, env: RunEnvironment, run: Run): Promise<void> {
  const ledger = env.ledger(session);
  const { auto: _auto, ...plan } = run.plan;
  if (run.stopKey === null) return await ledger.runs.replan({ ...run, plan });
  const { passed, estimatedLeft } = await ledger.ranges.totals(run.id);
  const from = { key: run.stopKey, at: passed + estimatedLeft };
  const layout = await makeLayout(session, plan, env.tuning.workers, from);
  await ledger.runs.replan({ ...run, plan, stopKey: layout.stopKey });
  await ledger.ranges.layOut(run.id, layout);
}

/** Whether no row up to a key matches any more. */
async function isDrained(
  session: Session,
  env: RunEnvironment,
  migration: DataMigration,
  run: Run & { readonly stopKey: Key },
): Promise<boolean> {
  const { stopKey: upTo } = run;
  const guard = guardDatabase(session, env.knexConfig);
  try {
    return await underAuthorPath(session, env.searchPath, async () => {
      const shape = selectOfChunk({ migration, run, step: migration }, guard.builder);
      const found = pickKeys(shape, run.plan.base, { after: null, upTo, limit: 1 });
      return (await oneKey(session, found)) === null;
    });
  } finally {
    guard.close();
  }
}
