import type { Session } from '../../postgres/session.ts';
import { withTransaction } from '../../postgres/transaction.ts';
import { planStep } from '../../run/analyze/plan.ts';
import type { RunEnvironment } from '../../run/context/environment.ts';
import { type DataMigration, stepOf } from '../../run/context/step.ts';
import { planWayBack } from '../../run/lifecycle/way-back.ts';
import type { MigrationPlan } from './plan-report.ts';

/** Plans a rollback by stored values; its rows are restored by the tool, so there is no code to be tried. */
export async function planRestoring(
  way: DataMigration,
  {
    env,
    use,
  }: {
    readonly env: RunEnvironment;
    readonly use: <T>(work: (session: Session) => Promise<T>) => Promise<T>;
  },
  overwrite: boolean,
): Promise<Partial<MigrationPlan>> {
  return await use(async (session) => {
    const { stored } = await planStep(session, env, way, stepOf(way, 'down'));
    const table = await withTransaction(session, env.pinned, async () => {
      const { runs } = env.ledger(session);
      const begun = await runs.findLive(way.name, 'down');
      const up = (await runs.findLive(way.name, 'up')) ?? (await runs.findDone(way.name));
      if (begun?.plan.images !== undefined) return begun.plan.images.table;
      return up === null ? null : (await planWayBack(session, env, up, overwrite)).table;
    });
    if (table === null) return {};
    const { rows = null, isCounted = false } = stored.survey ?? {};
    const restored = overwrite
      ? 'also those that were changed since'
      : 'those that were changed since are left alone';
    return {
      table: `${table.schema}.${table.name}`,
      key: table.key.map(({ name }) => name),
      rows: { estimated: rows, table: null, isCounted, isTableCounted: false, why: null },
      warnings: [`rows get their stored values back, ${restored}; there is nothing to sample`],
    };
  });
}
