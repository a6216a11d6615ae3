import { randomUUID } from 'node:crypto';
import type { Session } from '../../postgres/session.ts';
import { openGuard } from '../run/chunks.ts';
import { type LedgerNames, readLedgerVersion } from '../schema.ts';

/**
 * Sees to it that the open transaction cannot be committed, whoever types COMMIT: with the ledger's own guard, or
 * with a temporary table where there is no ledger yet. Both go with the rollback.
 */
export async function forbidCommit(session: Session, names: LedgerNames, schema: string): Promise<void> {
  if ((await readLedgerVersion(session, schema)) !== null) {
    return await openGuard(session, names, randomUUID());
  }
  const allowed = await session.query(
    `select pg_catalog.has_database_privilege(pg_catalog.current_database(), 'temp') as may`,
  );
  // Without the right there remain the word filter and the watch on the transaction's status.
  if (allowed.rows[0]?.may !== true) return;
  await session.query(`create temporary table pg_temp.umzug_cluster_guard (
    token integer primary key,
    closed integer not null references pg_temp.umzug_cluster_guard (token) deferrable initially deferred
  )`);
  await session.query('insert into pg_temp.umzug_cluster_guard (token, closed) values (1, 2)');
}
