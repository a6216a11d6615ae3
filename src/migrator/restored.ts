import type { Control } from '../cluster/worker/control.ts';
import type { Run } from '../ledger/run/rows.ts';
import type { Logger } from '../logger.ts';
import { inOneTrip } from '../postgres/transaction.ts';
import type { RunEnvironment } from '../run/context/environment.ts';
import type { MigrationOutcome } from './pending/requests.ts';
import { describeStored, storedColumns } from './plan/lost.ts';

interface Looking {
  readonly control: Control;
  readonly env: RunEnvironment;
  readonly logger: Logger;
}

/** What a rollback has done that restores stored values, of so many rows; null: it was another one. */
export async function restoredBy(
  { control, env }: Looking,
  { id, plan }: Run,
  all: number,
): Promise<MigrationOutcome['restored']> {
  if (plan.images === undefined) return null;
  const { leftAlone, gone, rows } = await control.use((session) =>
    inOneTrip(session, env.pinned, () => env.ledger(session).conflicts.of(id)),
  );
  return { rows: all - leftAlone - gone, leftAlone, gone, conflicts: rows };
}

/** Of two runs of one migration that were rolled back. */
export function sumOfRestored(
  one: MigrationOutcome['restored'],
  other: MigrationOutcome['restored'],
): MigrationOutcome['restored'] {
  if (one === null || other === null) return one ?? other;
  return {
    rows: one.rows + other.rows,
    leftAlone: one.leftAlone + other.leftAlone,
    gone: one.gone + other.gone,
    conflicts: [...one.conflicts, ...other.conflicts],
  };
}

// What is only good to know is not waited for longer.
const lookMs = 2_000;

/** Best effort: columns that are gone, though values of them are stored, in words. */
export async function storedAndGone({ control, env }: Looking): Promise<readonly string[]> {
  const found = await control.attempt((session) => storedColumns(session, env.ledgerSchema, 'gone'), lookMs);
  return (found ?? []).map(describeStored);
}

/** Says what a schema migration has dropped that could have been restored. `before`: what was gone already. */
export async function sayLost(looking: Looking, migration: string, before: readonly string[]): Promise<void> {
  const lost = (await storedAndGone(looking)).filter((one) => !before.includes(one));
  if (lost.length === 0) return;
  const message = `${migration} dropped ${lost.join('; ')}: they cannot be restored any more`;
  looking.logger.warn({ event: 'undo.lost', migration, lost }, message);
}
