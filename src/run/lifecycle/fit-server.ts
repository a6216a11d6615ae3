import { fail, codeOf, messageOf } from '../../errors.ts';
import type { Session } from '../../postgres/session.ts';
import { inOrder } from '../../postgres/transaction.ts';
import type { RunEnvironment } from '../context/environment.ts';

/**
 * Refuses a server that does not keep what exactly once depends on, whatever it calls itself: by trying it, in the open
 * transaction of whoever registers a run. Throws SERVER_UNSUPPORTED.
 */
export async function refuseUnfitServer(session: Session, env: RunEnvironment): Promise<void> {
  const [isGuardKept] = await inOrder([
    env.ledger(session).chunks.isGuardKept(),
    refuseUnknownTransactions(session),
  ]);
  if (isGuardKept) return;
  throw unfit(
    'the server does not check a deferred foreign key of the ledger at COMMIT',
    `without it, an update that commits by itself would be repeated; the ledger is in schema "${env.ledgerSchema}"`,
    'enable its triggers if they are disabled; a server without deferred foreign keys is not supported: see docs/managed-postgres.md',
  );
}

/** What a run waits for at its beginning are transactions that are still writing. */
async function refuseUnknownTransactions(session: Session): Promise<void> {
  const unknown = (detail: string): Error =>
    unfit(
      'the server does not tell which transactions are still writing',
      `${detail}; without it, rows that they insert would be missed`,
      'a server without snapshots of transactions is not supported: see docs/managed-postgres.md',
    );
  try {
    const { rows } = await session.query(
      `select pg_catalog.pg_current_xact_id() operator(pg_catalog.>=)
                pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())
              and pg_catalog.pg_xact_status(pg_catalog.pg_current_xact_id())
                operator(pg_catalog.=) 'in progress' as knows`,
    );
    if (rows[0]?.['knows'] === true) return;
  } catch (error) {
    if (!/^(42|0A)/.test(codeOf(error) ?? '')) throw error;
    throw unknown(messageOf(error));
  }
  throw unknown('by pg_current_snapshot(), the transaction that asks is over');
}

function unfit(message: string, detail: string, hint: string): Error {
  return fail('SERVER_UNSUPPORTED', { message, detail: `${detail}; nothing was changed`, hint });
}
