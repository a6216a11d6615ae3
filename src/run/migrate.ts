import type { Owned } from '../ledger/chunks.ts';
import type { Key } from '../ledger/rows.ts';
import type { ChunkContext } from '../migration/contract.ts';
import type { GuardedDatabase } from '../migration/guard.ts';
import type { Written } from '../migration/written.ts';
import type { Session } from '../postgres/session.ts';
import { inOrder } from '../postgres/transaction.ts';
import { selectOfChunk } from './author-select.ts';
import { readBatch, refuseDuplicates } from './batch.ts';
import type { ChunkWork } from './chunk-work.ts';
import type { LockedKeys } from './kept-keys.ts';
import { updateSet } from './set.ts';
import { readTuples } from './tuples.ts';

/** What became of a chunk's rows. */
export interface Migrated {
  readonly rows: number;
  readonly to: Key;
  readonly last: boolean;
  readonly isCut?: boolean;
  /** Keys that must be there still; null: whatever becomes of them. */
  readonly locked: LockedKeys | null;
  readonly written: Written;
}

/** The rows that a chunk is to take. */
export interface Taken {
  readonly context: ChunkContext;
  readonly owned: Pick<Owned, 'after' | 'hi'>;
  readonly limit: number;
  /** Is told how many rows there are before `update` gets them. */
  readonly trying: (rows: number, key: Key | null) => void;
}

/**
 * Reads and locks the next rows, and has `update` migrate them. In an open transaction under the author's search
 * path; neither its beginning nor its end is done here, so that a sample can do the same and roll it back.
 */
export async function migrate(
  session: Session,
  work: ChunkWork,
  guard: GuardedDatabase,
  { context, owned, limit, trying }: Taken,
): Promise<Migrated> {
  const { step, migration, run } = work;
  const { base } = run.plan;
  const shape = selectOfChunk(work, guard.builder);
  const what = run.direction === 'up' ? 'update' : 'down.update';
  const expect = { what, allowNoQueries: migration.options.allowNoQueries ?? false };
  if (step.setBased) {
    const update = step.update as (chunk: unknown, db: unknown, context: ChunkContext) => unknown;
    const call = (chunk: unknown): Promise<unknown> =>
      guard.settle(() => update(chunk, guard.db, context), expect);
    const range = { after: owned.after, hi: owned.hi, limit };
    const set = await updateSet(session, shape, base, guard, range, { call, trying });
    return { ...set, locked: null, written: guard.written() };
  }
  const { sizes = [] } = run.plan;
  const bound = sizes.length === 0 ? null : { sizes, maxBytes: work.env.tuning.maxBytes };
  const range = { after: owned.after, upTo: owned.hi, limit };
  const [before, batch] = await inOrder([
    readTuples(session, base),
    readBatch(session, shape, base, guard, { range, bound }),
  ]);
  refuseDuplicates(batch.keys, migration.name);
  if (batch.rows.length > 0) {
    trying(batch.rows.length, batch.rows.length === 1 ? (batch.keys[0] ?? null) : null);
    const update = step.update as (db: unknown, rows: object[], context: ChunkContext) => unknown;
    await guard.settle(() => update(guard.db, batch.rows, context), expect);
  }
  return {
    rows: batch.rows.length,
    to: batch.to,
    last: batch.last,
    isCut: batch.isCut,
    locked: migration.options.allowDelete === true ? null : { keys: batch.keys, before },
    written: guard.written(),
  };
}
