import type { Key } from '../../migration/key/key.ts';
import { rowsAre } from '../../core/values/numbers.ts';
import type { Session } from '../../postgres/session.ts';
import { withTransaction } from '../../postgres/transaction.ts';
import { type ChunkStatement, explainAll, recordStatements } from './chunk-statements.ts';
import type { ChunkWork } from '../context/chunk-work.ts';
import {
  type Example,
  type Images,
  changedColumns,
  differingRows,
  examplesOf,
  readImages,
  readableColumns,
} from '../chunk/row-snapshots.ts';
import { connectionsBeside, refuseWaitingBeside, wroteOutside } from '../context/foreign-connections.ts';
import {
  type Place,
  applied,
  goesByKeys,
  inSavepoint,
  limitFor,
  nextKeys,
  rolledBack,
} from './sample-chunk.ts';
import {
  type Consequences,
  type TableWrites,
  consequencesOf,
  readWrites,
  strongLocks,
  writesBetween,
} from '../analyze/side-effects.ts';

/** What one chunk, run and rolled back, has shown. */
export interface Proof extends Consequences {
  readonly rows: number;
  /** No further row of its place matches: these are all. */
  readonly isAll: boolean;
  /** Rows that are done do not match any more. */
  readonly drains: boolean;
  readonly statements: readonly ChunkStatement[];
  readonly writes: readonly TableWrites[];
  readonly changed: readonly string[];
  /** Locks of whole tables that it took. */
  readonly locks: readonly string[];
  readonly examples: readonly Example[];
  /** Rows that updateRows and deleteRows were given and did not find. */
  readonly missing: number;
  /** Connections of author code to the same server: what it writes there is not seen here. */
  readonly ownConnections: number;
}

// Three rows show what an update does; a person compares no more.
const shownRows = 3;

/**
 * Runs one chunk of at most `limit` rows and rolls it back: null where no row of the place matches. Throws what
 * `update` throws, and MIGRATION_FAILED where something of it is left after the rollback.
 */
export async function proveChunk(
  session: Session,
  work: ChunkWork,
  place: Place,
  limit: number,
): Promise<Proof | null> {
  const seen = await tryOnce(session, work, place, limit);
  if (seen === null) return null;
  // A chunk takes fewer large rows: those that it took are compared.
  if (seen.taken > 0 && seen.taken < seen.keys.length) {
    return await proveChunk(session, work, place, seen.taken);
  }
  const left = await leftBehind(session, work, seen);
  if (left === 0) return seen.proof;
  // The application may have changed them in between; hardly twice.
  const again = await tryOnce(session, work, place, limit);
  const stillLeft = again === null ? left : await leftBehind(session, work, again);
  if (stillLeft === 0) return again?.proof ?? null;
  throw wroteOutside(work.migration.name, rowsAre(stillLeft, 'not as before after each of two rollbacks'));
}

interface Seen {
  readonly proof: Proof;
  readonly keys: readonly Key[];
  /** Rows that were passed to `update`. */
  readonly taken: number;
  readonly before: Images;
}

async function tryOnce(session: Session, work: ChunkWork, place: Place, limit: number): Promise<Seen | null> {
  const { base } = work.run.plan;
  return await rolledBack(session, work.env, async (signal) => {
    const { locked: keys, last: isAll } = await nextKeys(session, work, place, limit);
    const last = keys.at(-1);
    if (last === undefined) return null;
    const columns = await readableColumns(session, base);
    const chunk: Place = { after: place.after, upTo: last };
    const before = await readImages(session, base, columns, keys);
    const writesBefore = await readWrites(session);
    // Those of schema migrations that the same transaction has tried are not of the chunk.
    const held = await strongLocks(session);
    const sent = recordStatements(session);
    // As in a run, where it matters to the planner how far the range continues.
    const first = goesByKeys(work) ? chunk : place;
    const limits = { limit: limitFor(work, keys.length), signal };
    const { missing, rows: taken } = await applied(session, work, first, limits);
    session.onStatement = null;
    const writes = writesBetween(writesBefore, await readWrites(session));
    const after = await readImages(session, base, columns, keys);
    const changed = changedColumns(before, after);
    const consequences = await consequencesOf(session, base, changed, writes);
    const locks = (await strongLocks(session)).filter((lock) => !held.includes(lock));
    const statements = await explainAll(session, work.env.searchPath, sent);
    const matching = await inSavepoint(session, () => nextKeys(session, work, chunk, 1));
    await refuseWaitingBeside(session, work.env, work.migration.name);
    const proof: Proof = {
      ...consequences,
      rows: keys.length,
      isAll,
      drains: matching.locked.length === 0,
      statements,
      writes,
      changed,
      locks,
      examples: examplesOf(before, after, shownRows),
      missing,
      // Those of an application around it are the application's.
      ownConnections: work.env.isOwnProcess ? connectionsBeside(session) : 0,
    };
    return { proof, keys, taken: work.step.setBased ? keys.length : taken, before };
  });
}

/** Rows that are not as they were before the sample, in a snapshot of another transaction. */
async function leftBehind(session: Session, work: ChunkWork, { keys, before }: Seen): Promise<number> {
  const { base } = work.run.plan;
  const now = await withTransaction(session, work.env.pinned, () =>
    readImages(session, base, before.columns, keys),
  );
  return differingRows(before, now);
}
