import type { Control } from '../cluster/worker/control.ts';
import type { Direction } from '../ledger/run/rows.ts';
import { withTransaction } from '../postgres/transaction.ts';
import type { RunEnvironment } from '../run/context/environment.ts';
import type { MigrationOutcome } from './pending/requests.ts';

/** A migration that is done. */
export interface Done extends Pick<
  MigrationOutcome,
  'rows' | 'rowsBefore' | 'changed' | 'hotShare' | 'chunks' | 'retries' | 'restored'
> {
  /** It can be rolled back by what it has stored. */
  readonly hasDown?: boolean;
  /** What it has left behind, which is no part of it. */
  readonly look: () => Promise<MigrationOutcome['left']>;
}

/** Of one that had nothing to do. */
export const nothingCounted: Done = {
  rows: 0,
  rowsBefore: 0,
  changed: null,
  hotShare: null,
  chunks: 0,
  retries: 0,
  restored: null,
  look: () => Promise.resolve(null),
};

/** What a migration has done that another host was quicker to run: it tells the same totals. */
export async function doneElsewhere(
  { control, env }: { readonly control: Control; readonly env: RunEnvironment },
  name: string,
  direction: Direction,
): Promise<Done> {
  if (direction === 'down') return nothingCounted;
  const sums = await control.use((session) =>
    withTransaction(session, env.pinned, async () => {
      const { ranges, runs } = env.ledger(session);
      const run = await runs.findDone(name);
      return run === null ? null : await ranges.totals(run.id);
    }),
  );
  if (sums === null) return nothingCounted;
  const { rows, chunks, retries } = sums;
  return { ...nothingCounted, rows, rowsBefore: rows, chunks, retries };
}
