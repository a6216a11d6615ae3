import { fail } from '../../errors.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { inOrder } from '../../postgres/transaction.ts';
import { revertingError } from './drift.ts';

/**
 * A command decides what to run, and runs it later: by then another host may have rolled back what it builds
 * on, or built on what it reverts. Both look here, in their turn and in the transaction that begins the work.
 */

/**
 * Refuses to begin `name` while something before it is being rolled back, or one of `executed`, on which the
 * command counted, no longer is.
 */
export async function refuseWithoutGround(
  ledger: Ledger,
  name: string,
  executed: Iterable<string>,
): Promise<void> {
  const [live, recorded] = await inOrder([ledger.runs.live(), ledger.migrations.list()]);
  const reverting = live.find(
    (run) => run.direction === 'up' && run.state === 'reverting' && run.name < name,
  );
  if (reverting !== undefined) throw revertingError(reverting.name);
  const present = new Set(recorded.map((migration) => migration.name));
  const gone = [...executed].find((before) => before < name && !present.has(before));
  if (gone === undefined) return;
  throw fail('REVERTING', {
    message: `${name} comes after ${gone}, which another host has rolled back in the meantime`,
    detail: `${name} was not run`,
    hint: 'run both in order: umzug-cluster up',
  });
}

/** Refuses to revert `name` where something after it was begun that was not among `begun` when it was chosen. */
export async function refuseBuiltUpon(
  ledger: Ledger,
  name: string,
  begun: ReadonlySet<string>,
): Promise<void> {
  const live = (await ledger.runs.live()).filter(({ direction }) => direction === 'up');
  const now = [...(await ledger.migrations.list()), ...live].map((one) => one.name);
  const later = now.find((other) => other > name && !begun.has(other));
  if (later === undefined) return;
  throw fail('ORDER', {
    message: `${later}, which comes after ${name}, was started by another host in the meantime`,
    detail: `${name} was not reverted`,
    hint: `revert the last migration: umzug-cluster down; revert only this one: umzug-cluster down --name ${name}`,
  });
}
