import type { Control } from '../../cluster/worker/control.ts';
import type { Config } from '../../config/config.ts';
import type { LoadedMigration } from '../../migration/file/loader.ts';
import { byCatalog } from '../../migration/lint/catalog.ts';
import { type Linted, lintMigrations } from '../../migration/lint/lint.ts';
import { catalogOf } from '../../migration/table/base-table.ts';
import { authorSearchPath, reading } from '../../postgres/transaction.ts';

/**
 * Risky statements of migrations that are still to be run. `isUpgrade`: others are executed here, so that these are
 * one deploy, rather than all that there ever were. Where there is a database its catalog settles what it can.
 */
export async function risksOf(
  migrations: readonly LoadedMigration[],
  {
    config,
    control,
    isUpgrade,
  }: { readonly config: Config; readonly control: Control | null; readonly isUpgrade: boolean },
): Promise<Linted> {
  const linted = await lintMigrations(migrations, { isOneDeploy: isUpgrade, knexConfig: config.knexConfig });
  if (control === null)
    return { ...linted, findings: linted.findings.filter(({ needsCatalog }) => !needsCatalog) };
  const findings = await control.use((session) =>
    reading(session, async () => {
      await session.query(authorSearchPath(config.searchPath));
      return await byCatalog(linted.findings, catalogOf(session, config.searchPath));
    }),
  );
  return { ...linted, findings: findings.filter(({ needsCatalog }) => !needsCatalog) };
}
