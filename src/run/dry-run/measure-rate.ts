import { firstChunkSize, nextChunkSize } from '../../core/size/chunk-size.ts';
import { rowBytesOf } from '../../core/size/survey.ts';
import type { Session } from '../../postgres/session.ts';
import type { ChunkWork } from '../context/chunk-work.ts';
import { rolledBack } from './rolled-back.ts';
import { type Place, applied } from './sample-chunk.ts';

/** How fast chunks were, one at a time, in this process, without their commits. */
export interface Pace {
  readonly chunks: number;
  readonly rows: number;
  readonly rowsPerSecond: number;
  /** Bytes of write-ahead log a row, of the whole server in that time: at most so many. */
  readonly walBytesPerRow: number;
}

interface Measure {
  readonly rows: number;
  readonly ms: number;
  readonly walBytes: number;
}

// Locks are held no longer than those of a chunk; all chunks together are over in a few seconds.
const budgetMs = 2_000;
const mostChunks = 4;

// What is rolled back stays in the table until vacuum: of a small one no more than this is tried.
const mostOfTable = 0.05;

/**
 * Runs a few chunks of a run of about `rows` rows as it would, the size adapting, each rolled back. Null where none had rows. A first chunk
 * warms the caches and the compiler: where there is another, it does not count.
 */
export async function measurePace(
  session: Session,
  work: ChunkWork,
  places: readonly Place[],
  rows: number,
): Promise<Pace | null> {
  const { env, migration, run } = work;
  const fixed = migration.options.chunkSize ?? env.tuning.chunkSize;
  let size = fixed ?? firstChunkSize(rowBytesOf(run.plan.base, run.plan.survey), env.tuning.maxBytes);
  const measures: Measure[] = [];
  let tried = 0;
  const startedAt = performance.now();
  for (let index = 0; index < mostChunks; index += 1) {
    const place = places[index % places.length];
    if (place === undefined || performance.now() - startedAt > budgetMs) break;
    const limit = size;
    const measure = await rolledBack(session, env, ({ signal }) =>
      measured(session, () => applied(session, work, place, { limit, signal }).then(({ rows }) => rows)),
    );
    if (measure.rows === 0) continue;
    measures.push(measure);
    tried += measure.rows;
    if (measures.length > 1 && tried > rows * mostOfTable) break;
    const targetMs = migration.options.targetMs ?? env.tuning.targetMs;
    const { maxRows } = env.tuning;
    size =
      fixed ??
      nextChunkSize({ current: limit, rows: measure.rows, durationMs: measure.ms, targetMs, maxRows });
  }
  return paceOf(measures.length > 1 ? measures.slice(1) : measures);
}

async function measured(session: Session, work: () => Promise<number>): Promise<Measure> {
  const { rows: before } = await session.query('select pg_catalog.pg_current_wal_insert_lsn()::text as at');
  const startedAt = performance.now();
  const rows = await work();
  const ms = performance.now() - startedAt;
  const { rows: written } = await session.query(
    'select pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), $1::pg_catalog.pg_lsn)::float8 as bytes',
    [before[0]?.['at']],
  );
  return { rows, ms, walBytes: Number(written[0]?.['bytes']) };
}

function paceOf(measures: readonly Measure[]): Pace | null {
  const sum = (of: (measure: Measure) => number): number =>
    measures.reduce((total, measure) => total + of(measure), 0);
  const rows = sum((measure) => measure.rows);
  if (rows === 0) return null;
  return {
    chunks: measures.length,
    rows,
    rowsPerSecond:
      (rows * 1_000) /
      Math.max(
        1,
        sum(({ ms }) => ms),
      ),
    walBytesPerRow: sum(({ walBytes }) => walBytes) / rows,
  };
}
