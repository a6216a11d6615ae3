import { rowsAre } from '../../core/values/numbers.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Key } from '../../ledger/run/rows.ts';
import type { Session } from '../../postgres/session.ts';
import { plainSettings, withTransaction } from '../../postgres/transaction.ts';
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
import { connectionsBeside, waitingFor, wroteOutside } from '../context/foreign-connections.ts';
import { type Back, type Twice, applyTwice, goBack } from './rerun-checks.ts';
import { rolledBack } from './rolled-back.ts';
import { type Place, applied, limitFor, nextKeys } from './sample-chunk.ts';
import {
  type Consequences,
  type TableWrites,
  consequencesOf,
  readWrites,
  strongLocks,
  writesBetween,
} from '../analyze/side-effects.ts';

/** What one chunk, run and rolled back, has shown. */
export interface Proof {
  readonly rows: number;
  /** No further row of its place matches: these are all. */
  readonly isAll: boolean;
  readonly statements: readonly ChunkStatement[];
  readonly writes: readonly TableWrites[];
  readonly changed: readonly string[];
  readonly consequences: Consequences;
  /** Locks of whole tables that it took. */
  readonly locks: readonly string[];
  readonly examples: readonly Example[];
  readonly twice: Twice;
  readonly down: Back;
  /** Rows that updateRows was given and did not find. */
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
  down: ChunkWork | null,
  place: Place,
  limit: number,
): Promise<Proof | null> {
  const { name } = work.migration;
  const seen = await tryOnce(session, work, down, place, limit);
  if (seen === null) return null;
  // Of large rows a chunk takes fewer: what is compared is those that it took.
  if (seen.taken > 0 && seen.taken < seen.keys.length)
    return await proveChunk(session, work, down, place, seen.taken);
  const left = await leftBehind(session, seen);
  if (left === 0) return seen.proof;
  if (seen.proof.ownConnections > 0) throw wroteOutside(name, remains(left, 'after the rollback'));
  // The application may have changed them in between; hardly twice.
  const again = await tryOnce(session, work, down, place, limit);
  const stillLeft = again === null ? left : await leftBehind(session, again);
  if (stillLeft > 0) throw wroteOutside(name, remains(stillLeft, 'after each of two rollbacks'));
  return again?.proof ?? null;
}

function remains(rows: number, when: string): string {
  return rowsAre(rows, `not as before ${when}`);
}

interface Seen {
  readonly proof: Proof;
  readonly work: ChunkWork;
  readonly keys: readonly Key[];
  /** Rows that were passed to `update`. */
  readonly taken: number;
  readonly before: Images;
  /** Processes that waited for its locks when it was rolled back. */
  readonly waiting: readonly number[];
}

async function tryOnce(
  session: Session,
  work: ChunkWork,
  down: ChunkWork | null,
  place: Place,
  limit: number,
): Promise<Seen | null> {
  const { base } = work.run.plan;
  return await rolledBack(session, work.env, async ({ signal }) => {
    const keys = await nextKeys(session, work, place, limit);
    const last = keys.at(-1);
    if (last === undefined) return null;
    const pid = Number((await session.query('select pg_catalog.pg_backend_pid() as pid')).rows[0]?.['pid']);
    const columns = await readableColumns(session, base);
    const chunk: Place = { after: place.after, upTo: last };
    const before = await readImages(session, base, columns, keys);
    const writesBefore = await readWrites(session);
    const sent = recordStatements(session);
    // As in a run, where it matters to the planner how far the range goes on.
    const first = work.step.setBased ? chunk : place;
    const limits = { limit: limitFor(work, keys.length), signal };
    const { missing, rows: taken } = await applied(session, work, first, limits);
    session.onStatement = null;
    const writes = writesBetween(writesBefore, await readWrites(session));
    const after = await readImages(session, base, columns, keys);
    const changed = changedColumns(before, after);
    const consequences = await consequencesOf(session, base, changed, writes);
    const locks = await strongLocks(session);
    const statements = await explainAll(session, work.env.searchPath, sent);
    const twice = await applyTwice(session, work, chunk, { keys, after, signal });
    const back = await goBack(session, down, chunk, { keys, before, signal });
    const waiting = (await waitingFor(session, pid)).map((one) => one.pid);
    const proof: Proof = {
      rows: keys.length,
      isAll: keys.length < limit,
      statements,
      writes,
      changed,
      consequences,
      locks,
      examples: examplesOf(before, after, shownRows),
      twice,
      down: back,
      missing,
      ownConnections: connectionsBeside(session),
    };
    return { proof, work, keys, taken: work.step.setBased ? keys.length : taken, before, waiting };
  });
}

// Who waited for the sample's locks has them now; this is time enough to write and to commit.
const settleMs = 2_000;
const pollMs = 50;

/** Rows that are not as they were before the sample, in a snapshot of another transaction. */
async function leftBehind(session: Session, { work, keys, before, waiting }: Seen): Promise<number> {
  const { base } = work.run.plan;
  const look = async (): Promise<number> =>
    await withTransaction(session, work.env.pinned, async () =>
      differingRows(before, await readImages(session, base, before.columns, keys)),
    );
  const giveUp = performance.now() + settleMs;
  for (;;) {
    const busy = waiting.length === 0 ? 0 : await stillBusy(session, waiting);
    if (busy === 0 || performance.now() > giveUp) return await look();
    await sleep(pollMs);
  }
}

async function stillBusy(session: Session, pids: readonly number[]): Promise<number> {
  const { rows } = await withTransaction(session, plainSettings, () =>
    session.query(
      `select count(*) as busy from pg_catalog.pg_stat_activity as a
       where a.pid = any ($1::int4[]) and a.state <> 'idle'`,
      [pids],
    ),
  );
  return Number(rows[0]?.['busy']);
}
