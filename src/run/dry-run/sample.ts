import { nodesOf } from '../../core/plan/query-plan.ts';
import { standingOf } from '../../core/progress/standing.ts';
import { matchingOf, rowBytesOf, whyUnknown } from '../../core/size/survey.ts';
import type { Direction, Run, Undo } from '../../ledger/run/rows.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import { olderTransactions } from '../../ledger/look/old-transactions.ts';
import type { Session } from '../../postgres/session.ts';
import { beginReadOnly, inOrder, withTransaction } from '../../postgres/transaction.ts';
import { type ChunkWork, nothingLearnt, sampleRunId } from '../context/chunk-work.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { makeLayout } from '../order/layout.ts';
import { hasKnownRanges } from '../lifecycle/register.ts';
import { type Rate, measureRate } from './measure-rate.ts';
import { mayCreateTemporary } from '../../ledger/run/images.ts';
import type { Plan, PlannedMigration } from '../analyze/plan.ts';
import { undoOf } from '../analyze/undo.ts';
import { compareHalves } from './halves.ts';
import { type Proof, proveChunk } from './dry-run-chunk.ts';
import type { Place } from './sample-chunk.ts';
import { foreignLocks } from '../analyze/side-effects.ts';
import { type DataMigration, stepOf } from '../context/step.ts';

/** What is known of a run before any of its chunks is tried. */
export interface Outlook {
  readonly direction: Direction;
  /** Rows that it will pass to `update`, of a half-done run the rest; null: not known. */
  readonly rows: number | null;
  /** They are counted. */
  readonly isCounted: boolean;
  /** Why they are not known, or null. */
  readonly why: string | null;
  /** Parts of the table to try chunks in; none where nothing is left or the table is empty. */
  readonly places: readonly Place[];
  /** Who holds or wants a lock for which chunks would wait. */
  readonly locks: readonly string[];
  /** Transactions that are writing, for which `up` would wait at its beginning. */
  readonly older: readonly { readonly pid: number | null; readonly ageSeconds: number | null }[];
}

/** What undo has cost in the sample, and what it does not cover. */
export interface UndoSample {
  /** Bytes of images a row that is passed to update; null: not measured, since no temporary table may be created. */
  readonly bytesPerRow: number | null;
  /** How many times as long chunks took as without it. */
  readonly timesAsLong: number | null;
  /** Tables with changes that it would not roll back. */
  readonly uncovered: readonly string[];
  /** Columns that only a trigger changes, which it would not restore. */
  readonly unrestored: readonly string[];
}

/** A chunk that was run and rolled back, and the rate of a few more. */
export interface Sample extends Proof {
  /** Columns that are not the same after two chunks as after one; empty: other rows are left; null: all is the same. */
  readonly parted: readonly string[] | null;
  readonly rate: Rate | null;
  /** What undo costs and does not cover; null: the run has none. */
  readonly undo: UndoSample | null;
  /** Tables of its statements that a scan from beginning to end takes long. */
  readonly largeTables: readonly string[];
  /** Columns of its condition of which the planner has no statistics though there are many rows. */
  readonly unanalyzed: readonly string[];
}

// One at the start of the table, the others further on: rows differ with their age.
const mostPlaces = 3;

// Enough rows to tell, few enough to compare all their columns, whole and in halves.
const provenRows = 100;

/** Looks at a run from outside; reads only. `live`: its half-done run, if there is one. */
export async function lookAhead(
  session: Session,
  env: RunEnvironment,
  plan: Plan,
  live: Run | null,
): Promise<Outlook> {
  return await withTransaction(
    session,
    env.pinned,
    async () => {
      const places = await placesOf(session, env, plan, live);
      const sums = live === null ? null : await env.ledger(session).ranges.totals(live.id);
      const known = live ?? {
        pass: 0,
        estimatedRows: matchingOf(plan.stored.survey) ?? -1,
        plan: plan.stored,
      };
      const { rowsLeft } = standingOf(known, sums);
      const { survey } = known.plan;
      return {
        direction: 'up',
        rows: rowsLeft === null ? null : Math.round(rowsLeft),
        isCounted: live === null && (survey?.groups !== undefined || survey?.each === 1),
        why: rowsLeft === null ? whyUnknown(survey) : null,
        places,
        ...(await inTheWay(session, plan)),
      };
    },
    beginReadOnly,
  );
}

/** Looks at the rollback of a run from outside; reads only. `begun`: it has started. */
export async function lookBack(
  session: Session,
  env: RunEnvironment,
  plan: Plan,
  { up, begun }: { readonly up: Run; readonly begun: Run | null },
): Promise<Outlook> {
  return await withTransaction(
    session,
    env.pinned,
    async () => {
      const { ranges } = env.ledger(session);
      const { rows } = await ranges.totals(up.id);
      const back = begun === null ? 0 : (await ranges.totals(begun.id)).rows;
      const places =
        begun?.isLaidOut === true
          ? await ranges.openParts(begun.id, mostPlaces)
          : hasKnownRanges(up)
            ? await ranges.doneParts(up.id, mostPlaces)
            : await placesOf(session, env, plan, null);
      const way = await inTheWay(session, plan);
      return {
        direction: 'down',
        rows: Math.max(0, rows - back),
        isCounted: false,
        why: null,
        places,
        ...way,
      };
    },
    beginReadOnly,
  );
}

async function inTheWay(session: Session, { base }: Plan): Promise<Pick<Outlook, 'locks' | 'older'>> {
  const locks = await foreignLocks(session, base);
  const { rows: now } = await session.query(
    'select pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text as xid',
  );
  return { locks, older: await olderTransactions(session, String(now[0]?.['xid'])) };
}

async function placesOf(
  session: Session,
  env: RunEnvironment,
  plan: Plan,
  live: Run | null,
): Promise<readonly Place[]> {
  if (live !== null) return await env.ledger(session).ranges.openParts(live.id, mostPlaces);
  const { stopKey, bounds } = await makeLayout(session, plan.stored, env.tuning.workers);
  if (stopKey === null) return [];
  const starts = [null, ...bounds.slice(0, -1)];
  const step = Math.max(1, Math.floor(starts.length / mostPlaces));
  return starts
    .filter((_, index) => index % step === 0)
    .slice(0, mostPlaces)
    .map((after) => ({ after, upTo: stopKey }));
}

// A table of fewer rows is read from beginning to end faster than through an index.
const largeTableRows = 10_000;

/** Those of the tables of these names that are large by the planner's count. */
async function largeOf(session: Session, names: readonly string[]): Promise<readonly string[]> {
  const { rows } = await session.query(
    `select distinct c.relname::text as name from pg_catalog.pg_class as c
     where c.relname = any ($1::text[]) and c.relkind = 'r' and c.reltuples >= $2::float8`,
    [names, largeTableRows],
  );
  return rows.map((row) => String(row['name']));
}

/** The columns of the table that were never analysed, neither in it nor in its partitions. */
async function unanalyzedOf(session: Session, { oid }: BaseTable): Promise<readonly string[]> {
  const { rows } = await session.query(
    `select a.attname::text as name from pg_catalog.pg_attribute as a
     where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped and not exists (
       select from pg_catalog.pg_class as c
       join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
       join pg_catalog.pg_stats as s
         on s.schemaname = n.nspname and s.tablename = c.relname and s.attname = a.attname
       where c.oid = a.attrelid or c.oid in (select relid from pg_catalog.pg_partition_tree(a.attrelid)))`,
    [oid],
  );
  return rows.map((row) => String(row['name']));
}

/** Tries the migration: null where no row matches at any of the places. Throws what `update` throws. */
export async function takeSample(
  session: Session,
  env: RunEnvironment,
  { migration, plan }: PlannedMigration,
  { direction, places, rows }: Outlook,
): Promise<Sample | null> {
  const work = workFor(env, migration, plan, direction);
  const { base, survey } = plan.stored;
  const rowBytes = rowBytesOf(plan.base, survey);
  const most = rowBytes > 0 ? Math.floor(env.tuning.maxBytes / rowBytes) : provenRows;
  const limit = Math.max(1, Math.min(provenRows, migration.options.chunkSize ?? provenRows, most));
  for (const place of places) {
    const proof = await proveChunk(session, work, place, limit);
    if (proof === null) continue;
    const parted = await compareHalves(session, work, place, proof.rows);
    const plain = await measureRate(session, work, places, rows ?? 0);
    const undone = await measureUndo(session, work, places, rows ?? 0);
    const undo = undone === null ? null : undoOfSample(proof, plain, undone);
    const rate = undone?.rate ?? plain;
    const nodes = proof.statements.flatMap(({ plan }) => (plan === null ? [] : nodesOf(plan)));
    const tables = nodes.flatMap(({ table }) => (table === null ? [] : [table]));
    const isLarge = (survey?.rows ?? 0) >= largeTableRows;
    const [large, columns] = await withTransaction(
      session,
      env.pinned,
      () => inOrder([largeOf(session, tables), isLarge ? unanalyzedOf(session, base) : []]),
      beginReadOnly,
    );
    const largeTables = isLarge ? [...large, base.name] : large;
    const unanalyzed = columns.filter((column) => plan.asked.includes(column));
    return { ...proof, parted, rate, undo, largeTables, unanalyzed };
  }
  return null;
}

interface UndoMeasured {
  readonly undo: Undo;
  readonly rate: Rate | null;
}

/** The rate of a run with undo; null: it has none. */
async function measureUndo(
  session: Session,
  work: ChunkWork,
  places: readonly Place[],
  rows: number,
): Promise<UndoMeasured | null> {
  const { env, migration, run } = work;
  if (run.direction !== 'up') return null;
  const [undo, may] = await withTransaction(
    session,
    env.pinned,
    () => inOrder([undoOf(session, env, migration, run.plan.base), mayCreateTemporary(session)]),
    beginReadOnly,
  );
  if (undo === null) return null;
  const undoing = { ...work, run: { ...run, plan: { ...run.plan, undo } } };
  return { undo, rate: may ? await measureRate(session, undoing, places, rows) : null };
}

function undoOfSample(
  { changed }: Proof,
  plain: Rate | null,
  { undo: { columns }, rate }: UndoMeasured,
): UndoSample {
  const images = rate?.images ?? null;
  const kept = columns.filter(({ attnum }) => images?.columns.includes(attnum)).map(({ name }) => name);
  const stored = columns.map(({ name }) => name);
  return {
    bytesPerRow: images?.bytesPerRow ?? null,
    timesAsLong: rate === null || plain === null ? null : plain.rowsPerSecond / rate.rowsPerSecond,
    uncovered: images?.uncovered ?? [],
    unrestored:
      images === null ? [] : changed.filter((name) => stored.includes(name) && !kept.includes(name)),
  };
}

const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

function workFor(env: RunEnvironment, migration: DataMigration, plan: Plan, direction: Direction): ChunkWork {
  return {
    env,
    migration,
    step: stepOf(migration, direction),
    logger: silent,
    trace: null,
    ...nothingLearnt(),
    run: {
      id: sampleRunId,
      name: migration.name,
      direction,
      state: 'running',
      epoch: 1,
      reverts: null,
      startXid: '0',
      plan: plan.stored,
      ...migration.hashes,
      planSha256: plan.sha256,
      pass: 0,
      isLaidOut: true,
      stopKey: null,
      estimatedRows: -1,
      error: null,
    },
  };
}
