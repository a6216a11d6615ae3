import { firstChunkSize, nextChunkSize } from '../../core/size/chunk-size.ts';
import { rowBytesOf } from '../../core/size/survey.ts';
import type { Session } from '../../postgres/session.ts';
import type { SampleImages } from '../../ledger/run/images.ts';
import { type TableWrites, isPartOf, readWrites, writesBetween } from '../analyze/side-effects.ts';
import type { ChunkWork } from '../context/chunk-work.ts';
import type { CoveredWrites } from '../images/other-tables.ts';
import { type Place, applied, rolledBack } from './sample-chunk.ts';

/** How fast chunks were, one at a time, in this process, without their commits. */
export interface Rate {
  readonly chunks: number;
  readonly rowsPerSecond: number;
  /** Bytes of write-ahead log a row, of the whole server in that time: at most so many. */
  readonly walBytesPerRow: number;
  /** What its images show, where it keeps them. */
  readonly images: MeasuredImages | null;
}

/** Images of measured chunks. */
export interface MeasuredImages {
  readonly bytesPerRow: number;
  /** Numbers of the columns of which there are images. */
  readonly columns: readonly number[];
  /** Tables with changes of which there are none. */
  readonly uncovered: readonly string[];
}

interface Measure {
  readonly rows: number;
  readonly weight: number;
  readonly ms: number;
  readonly walBytes: number;
  readonly images: MeasuredImages | null;
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
    const { weight: taken, ms: durationMs } = measure;
    size = fixed ?? nextChunkSize({ current: size, rows: taken, durationMs, targetMs, maxRows });
  }
  const counted = measures.length > 1 ? measures.slice(1) : measures;
  const sum = total(counted);
  if (sum.rows === 0) return null;
  return {
    chunks: counted.length,
    rowsPerSecond: (sum.rows * 1_000) / Math.max(1, sum.ms),
    walBytesPerRow: sum.walBytes / sum.rows + (sum.images?.bytesPerRow ?? 0),
    images: sum.images,
  };
}

function total(measures: readonly Measure[]): Measure {
  return measures.reduce(
    (sum, one) => ({
      rows: sum.rows + one.rows,
      weight: sum.weight + one.weight,
      ms: sum.ms + one.ms,
      walBytes: sum.walBytes + one.walBytes,
      images: one.images ?? sum.images,
    }),
    { rows: 0, weight: 0, ms: 0, walBytes: 0, images: null },
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
    const images = work.run.plan.undo === undefined ? null : work.env.ledger(session).images;
    if (images !== null) await images.createSample();
    const writesBefore = images === null ? [] : await readWrites(session);
    const [walBefore, startedAt] = [await wal(), performance.now()];
    const weighed = work.run.plan.weight === undefined ? {} : { weight: limit };
    const { rows, weight, covered } = await applied(session, work, place, { limit, ...weighed, signal });
    const ms = performance.now() - startedAt;
    const walBytes = (await wal()) - walBefore;
    if (images === null || rows === 0) return { rows, weight, ms, walBytes, images: null };
    const writes = writesBetween(writesBefore, await readWrites(session));
    return {
      rows,
      weight,
      ms,
      walBytes,
      images: measuredImages(await images.readSample(), { rows, writes, covered }, work),
    };
  });
}

/** What a measured chunk has written, and of which of it in other tables there are images. */
interface Effects {
  readonly rows: number;
  readonly writes: readonly TableWrites[];
  readonly covered: readonly CoveredWrites[];
}

function measuredImages(
  { bytes, columns }: SampleImages,
  { rows, writes, covered }: Effects,
  { run: { plan } }: ChunkWork,
): MeasuredImages {
  const isCovered = (one: TableWrites): boolean => {
    const kept = covered.filter((other) => isPartOf(one, other));
    const isAll = (kind: 'inserted' | 'updated' | 'deleted'): boolean =>
      one[kind] <= kept.reduce((sum, each) => sum + each[kind], 0);
    const isOwn = isPartOf(one, plan.base);
    return isAll('inserted') && (isOwn || (isAll('updated') && isAll('deleted')));
  };
  const uncovered = writes.filter((one) => !isCovered(one)).map(({ table }) => table);
  return { bytesPerRow: bytes / rows, columns, uncovered };
}
