import { firstChunkSize, nextChunkSize } from '../../core/size/chunk-size.ts';
import { rowBytesOf } from '../../core/size/survey.ts';
import type { Session } from '../../postgres/session.ts';
import type { ChunkWork } from '../context/chunk-work.ts';
import { type Place, applied, rolledBack } from './sample-chunk.ts';

/** How fast chunks were, one at a time, in this process, without their commits. */
export interface Rate {
  readonly chunks: number;
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
 * Runs a few chunks of a run of about `rows` rows as it would, the size adapting, each rolled back. Null where none had
 * rows. A first chunk warms the caches and the compiler: where there is another, it does not count.
 */
export async function measureRate(
  session: Session,
  work: ChunkWork,
  places: readonly Place[],
  rows: number,
): Promise<Rate | null> {
  const { env, migration, run } = work;
  const { maxRows } = env.tuning;
  const targetMs = migration.options.targetMs ?? env.tuning.targetMs;
  const fixed = migration.options.chunkSize ?? env.tuning.chunkSize;
  let size = fixed ?? firstChunkSize(rowBytesOf(run.plan.base, run.plan.survey), env.tuning.maxBytes);
  const measures: Measure[] = [];
  const startedAt = performance.now();
  for (let index = 0; index < mostChunks; index += 1) {
    const place = places[index % places.length];
    if (place === undefined || performance.now() - startedAt > budgetMs) break;
    const measure = await measureChunk(session, work, place, size);
    if (measure.rows === 0) continue;
    measures.push(measure);
    if (measures.length > 1 && total(measures).rows > rows * mostOfTable) break;
    const { rows: taken, ms: durationMs } = measure;
    size = fixed ?? nextChunkSize({ current: size, rows: taken, durationMs, targetMs, maxRows });
  }
  const counted = measures.length > 1 ? measures.slice(1) : measures;
  const sum = total(counted);
  if (sum.rows === 0) return null;
  return {
    chunks: counted.length,
    rowsPerSecond: (sum.rows * 1_000) / Math.max(1, sum.ms),
    walBytesPerRow: sum.walBytes / sum.rows,
  };
}

function total(measures: readonly Measure[]): Measure {
  return measures.reduce(
    (sum, one) => ({
      rows: sum.rows + one.rows,
      ms: sum.ms + one.ms,
      walBytes: sum.walBytes + one.walBytes,
    }),
    { rows: 0, ms: 0, walBytes: 0 },
  );
}

async function measureChunk(
  session: Session,
  work: ChunkWork,
  place: Place,
  limit: number,
): Promise<Measure> {
  const wal = async (): Promise<number> => {
    const { rows } = await session.query(
      `select pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::float8 as bytes`,
    );
    return Number(rows[0]?.['bytes']);
  };
  return await rolledBack(session, work.env, async (signal) => {
    const [walBefore, startedAt] = [await wal(), performance.now()];
    const { rows } = await applied(session, work, place, { limit, signal });
    const ms = performance.now() - startedAt;
    return { rows, ms, walBytes: (await wal()) - walBefore };
  });
}
