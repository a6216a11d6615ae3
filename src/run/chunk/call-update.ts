import type { Key } from '../../migration/key/key.ts';
import { UmzugClusterError } from '../../errors.ts';
import type { ChunkLimits } from '../../core/size/chunk-limits.ts';
import type { RowBound } from '../../migration/chunk/row-sizes.ts';
import type { ChunkContext } from '../../migration/contract/contract.ts';
import type { Expectation, GuardedDatabase } from '../../migration/handle/guard.ts';
import type { Written } from '../../migration/handle/written.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import type { Session } from '../../postgres/session.ts';
import { inOrder } from '../../postgres/transaction.ts';
import { type ChunkWork, sampleRunId } from '../context/chunk-work.ts';
import { refuseSelfWait } from '../context/foreign-connections.ts';
import type { RangeLeft } from '../order/order.ts';
import type { CoveredWrites } from '../images/other-tables.ts';
import type { OwnTable } from './own-table.ts';
import { type WriteCounters, countAllWritten } from './write-counters.ts';

/** The rows that a chunk is to take. */
export interface Taken {
  readonly context: ChunkContext;
  readonly owned: RangeLeft;
  readonly limits: ChunkLimits;
  readonly rangeNo: number;
  /**
   * Called when the search is over and before `update` runs, with how many rows there are at most, and the key of a
   * single one. What it sends to the server comes before the statements of `update`.
   */
  readonly found: (rows: number, key: Key | null) => Promise<unknown>;
}

/** A call of `update` with the rows of one chunk, in its open transaction. */
export interface ChunkCall {
  readonly session: Session;
  readonly work: ChunkWork;
  readonly guard: GuardedDatabase;
  readonly taken: Taken;
  readonly shape: SelectShape;
  readonly expect: Expectation;
  /** How large and how heavy its rows may be together; null: of any size. */
  readonly bound: RowBound | null;
  /** A pass of a sweep, which is expected to find nothing. */
  readonly isGathered: boolean;
}

/** What became of a chunk's rows. */
export interface Migrated {
  readonly rows: number;
  /** What they weigh: as many as they are, unless the author says what each does. */
  readonly weight: number;
  /** The new cursor. */
  readonly to: Key;
  /** The range is at its end. */
  readonly last: boolean;
  /** It stopped at the number of rows that it was allowed. */
  readonly isFull: boolean;
  /** It has fewer rows than it might, since they are large or heavy. */
  readonly isCut: boolean;
  /** Keys from the old cursor to the new one, whether their rows match or not; null: not known. */
  readonly passed: number | null;
  /**
   * Refuses what `update` must not have done to its own table, by the counters as they are after it; its questions are
   * sent behind theirs. Null where it was not called.
   */
  readonly check: ((counters: Promise<WriteCounters>) => Promise<void>) | null;
  /** The counters as they were before it. */
  readonly before: WriteCounters;
  readonly written: Written;
  /** Of what it has written to other tables, what undo can restore. */
  readonly covered: readonly CoveredWrites[];
  /** Rows that update has changed, in any table. */
  readonly changed: number;
}

/**
 * Calls `update`, and looks at what it did: how many rows it has changed, in any table. `found` is sent before its
 * statements.
 */
export async function callUpdate(
  { session, work, guard, expect }: ChunkCall,
  ownTable: OwnTable,
  found: () => Promise<unknown>,
  update: () => unknown,
): Promise<number> {
  const { effects, env, logger } = work;
  const { name } = work.migration;
  await unrecorded(session, () => ownTable.look());
  const counting = (): Promise<number> =>
    effects.isReported ? Promise.resolve(0) : countAllWritten(session);
  const over = new AbortController();
  const lookBeside = (): Promise<void> => effects.beside.look(session, { name, env, logger });
  effects.beside.begin(session);
  const waits = { name, isSample: work.run.id === sampleRunId, signal: over.signal };
  const updating = inOrder([found(), counting(), guard.settle(update, expect)]);
  const [, before] = await Promise.race([updating, refuseSelfWait(session, env, waits)])
    .catch(async (error: unknown) => {
      const isMistake = error instanceof UmzugClusterError && session.transactionStatus() === 'T';
      // The server's word that the transaction is aborted may come later: then nothing can be asked.
      const refusal: unknown = isMistake ? await lookBeside().catch((other: unknown) => other) : null;
      throw refusal instanceof UmzugClusterError ? refusal : error;
    })
    .finally(() => over.abort());
  await unrecorded(session, async () => {
    await ownTable.compare();
    await lookBeside();
  });
  const { changed } = guard.written();
  const wasReported = effects.isReported;
  effects.isReported = changed > 0;
  if (changed > 0) return changed;
  // What a function writes, or a trigger instead of what it was told, no answer to a statement says.
  return wasReported ? 0 : (await countAllWritten(session)) - before;
}

/** Refuses rows that `update` has inserted into its own table and that `select` finds. */
export async function refuseInserted(
  ownTable: OwnTable,
  before: WriteCounters,
  counters: Promise<WriteCounters>,
): Promise<void> {
  if ((await counters).inserted > before.inserted) await ownTable.refuseInserted();
}

/** What is looked at is no part of a chunk's statements. */
async function unrecorded(session: Session, look: () => Promise<void>): Promise<void> {
  const { onStatement } = session;
  session.onStatement = null;
  await look();
  session.onStatement = onStatement;
}
