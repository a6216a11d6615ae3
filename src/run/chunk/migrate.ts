import { UmzugClusterError } from '../../errors.ts';
import type { ChunkLimits } from '../../core/size/chunk-limits.ts';
import type { Key } from '../../ledger/run/rows.ts';
import type { ChunkContext } from '../../migration/contract/contract.ts';
import type { GuardedDatabase } from '../../migration/handle/guard.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import { quote } from '../../migration/key/sql.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import type { Written } from '../../migration/handle/written.ts';
import type { Session } from '../../postgres/session.ts';
import { inOrder } from '../../postgres/transaction.ts';
import { selectOfChunk } from '../analyze/author-select.ts';
import { readBatch, refuseDuplicates } from './batch.ts';
import { type ChunkWork, sampleRunId } from '../context/chunk-work.ts';
import { refuseStillMatching, setDrainCheck } from './still-matches.ts';
import { type RangeLeft, chunkEnd } from './chunk-end.ts';
import { countKept, refuseMovedKeys } from './kept-keys.ts';
import type { ChunkResult } from './chunk-result.ts';
import { connectionsBeside, refuseSelfWait } from '../context/foreign-connections.ts';
import { OwnTable } from './own-table.ts';
import { type SetCall, updateSet } from './set.ts';
import { type WriteCounters, countAllWritten, readWriteCounters } from './write-counters.ts';

/** What became of a chunk's rows. */
export interface Migrated extends ChunkResult {
  /**
   * Refuses what `update` must not have done to its own table, by the counters as they are after it; its questions are
   * sent behind theirs. Null where it was not called.
   */
  readonly check: ((counters: Promise<WriteCounters>) => Promise<void>) | null;
  readonly written: Written;
  /** Rows that update has changed, in any table. */
  readonly changed: number;
}

/** The rows that a chunk is to take. */
export interface Taken {
  readonly context: ChunkContext;
  readonly owned: RangeLeft;
  readonly limits: ChunkLimits;
  /**
   * Is told, when the search is over and before `update` runs, how many rows there are at most, and the key of a
   * single one. What it sends to the server comes before the statements of `update`.
   */
  readonly found: (rows: number, key: Key | null) => Promise<unknown>;
}

/**
 * Reads and locks the next rows, and has `update` migrate them. In an open transaction under the author's search
 * path; neither its beginning nor its end is done here, so that a sample can do the same and roll it back.
 */
export async function migrate(
  session: Session,
  work: ChunkWork,
  guard: GuardedDatabase,
  { context, owned, limits, found }: Taken,
): Promise<Migrated> {
  const { step, migration, run } = work;
  const { base } = run.plan;
  // A sweep is expected to find nothing.
  const isGathered = run.pass > 0 && limits.keys === null;
  const shape = selectOfChunk(work, guard.builder);
  const what = run.direction === 'up' ? 'update' : 'down.update';
  const allowNoQueries = migration.options.allowNoQueries ?? false;
  const expect = { what, allowNoQueries, hasOwnConnection: () => connectionsBeside(session) > 0 };
  if (step.setBased) {
    const update = step.update as (chunk: unknown, db: unknown, context: ChunkContext) => unknown;
    const drain =
      run.plan.sweeps === true ? setDrainCheck(session, migration.name, { shape, base }, owned) : null;
    let changed = 0;
    let check: Migrated['check'] = null;
    const call = async (chunk: object, { end, keys, before }: SetCall): Promise<void> => {
      const settle = (): Promise<unknown> => guard.settle(() => update(chunk, guard.db, context), expect);
      await drain?.before(end.upTo);
      const { space, after } = owned;
      const ownTable = new OwnTable(session, work, shape, { space, after, upTo: end.upTo });
      changed = await watched(session, work, guard, {
        ownTable,
        found: () => found(end.rows, end.key),
        settle,
      });
      check = async (counters) => {
        await keys.refuseMoved(counters);
        await refuseInserted(ownTable, before, counters);
      };
    };
    const { allowDelete = false } = migration.options;
    const rules = { name: migration.name, what, mayDelete: allowDelete, mayOnlyRead: expect.allowNoQueries };
    const set = await updateSet(
      session,
      { shape, plan: run.plan, guard, rules },
      { ...owned, limits, isGathered },
      call,
    );
    await drain?.after(set.to);
    return { ...set, check, written: guard.written(), changed };
  }
  const { sizes = [] } = run.plan;
  const bound = sizes.length === 0 ? null : { sizes, maxBytes: work.env.tuning.maxBytes };
  const end = await chunkEnd(session, run.plan, owned, limits.keys);
  const range = { after: owned.after, upTo: end.upTo, limit: limits.rows, isGathered };
  // In the order in which they are sent: what the first runs into (a deadlock, a lock timeout) is to be judged.
  const [batch, before] = await inOrder([
    readBatch(session, shape, base, guard, { space: owned.space, range, bound, shown: work.shown }),
    readWriteCounters(session, base),
  ]);
  refuseDuplicates(batch.keys, migration.name);
  // From here on the list is the author's, who may empty it.
  const rows = batch.rows.length;
  let changed = 0;
  let check: Migrated['check'] = null;
  if (rows > 0) {
    const update = step.update as (db: unknown, rows: object[], context: ChunkContext) => unknown;
    const settle = (): Promise<unknown> => guard.settle(() => update(guard.db, batch.rows, context), expect);
    const single = rows === 1 ? (batch.keys.at(0) ?? null) : null;
    const ownTable = new OwnTable(session, work, shape, batch.keys);
    changed = await watched(session, work, guard, { ownTable, found: () => found(rows, single), settle });
    check = async (counters) => {
      if (migration.options.allowDelete !== true) {
        const locked = { keys: batch.keys, names: namesOf(shape, base), before };
        const kept = await countKept(session, base, locked, { written: guard.written(), counters });
        refuseMovedKeys(migration.name, batch.keys.length - kept);
      }
      await refuseInserted(ownTable, before, counters);
    };
    if (run.plan.sweeps === true) {
      await refuseStillMatching(session, migration.name, { shape, base }, { locked: batch.keys });
    }
  }
  const { to, isFull, isCut } = batch;
  const isToEnd = !isFull && !isCut;
  return {
    rows,
    to,
    last: isToEnd && end.isLast,
    isFull,
    isCut,
    passed: isToEnd && !end.isLast ? limits.keys : null,
    check,
    written: guard.written(),
    changed,
  };
}

/** Runs `update`, and looks at what it did: how many rows it has changed, in any table. */
async function watched(
  session: Session,
  work: ChunkWork,
  guard: GuardedDatabase,
  on: {
    readonly ownTable: OwnTable;
    readonly found: () => Promise<unknown>;
    readonly settle: () => Promise<unknown>;
  },
): Promise<number> {
  const { effects, env, logger } = work;
  await unrecorded(session, () => on.ownTable.look());
  const counting = (): Promise<number> =>
    effects.isReported ? Promise.resolve(0) : countAllWritten(session);
  const { name } = work.migration;
  const over = new AbortController();
  const lookBeside = (): Promise<void> => effects.beside.look(session, { name, env, logger });
  effects.beside.begin(session);
  const waits = { name, isSample: work.run.id === sampleRunId, signal: over.signal };
  const updating = inOrder([on.found(), counting(), on.settle()]);
  const [, before] = await Promise.race([updating, refuseSelfWait(session, work.env, waits)])
    .catch(async (error: unknown) => {
      const isMistake = error instanceof UmzugClusterError && session.transactionStatus() === 'T';
      if (isMistake) await lookBeside();
      throw error;
    })
    .finally(() => over.abort());
  await unrecorded(session, async () => {
    await on.ownTable.compare();
    await lookBeside();
  });
  const { changed } = guard.written();
  const wasReported = effects.isReported;
  effects.isReported = changed > 0;
  if (changed > 0) return changed;
  // What a function writes, or a trigger instead of what it was told, no answer to a statement says.
  return wasReported ? 0 : (await countAllWritten(session)) - before;
}

async function refuseInserted(
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

/** How statements of the chunk name the base table for certain, quoted. */
function namesOf({ table }: SelectShape, base: BaseTable): readonly string[] {
  const qualified = `${quote(base.schema)}.${quote(base.name)}`;
  return table.schema === null ? [qualified, quote(base.name)] : [qualified];
}
