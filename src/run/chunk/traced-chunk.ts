import { mostRows } from '../../core/size/chunk-limits.ts';
import type { Session } from '../../postgres/session.ts';
import type { ChunkWork } from '../context/chunk-work.ts';
import { type ChunkOutcome, type ChunkRequest, runChunk } from './chunk.ts';

/** Runs a chunk, in a span where somebody listens. `waited`: for its turn, since its lane's chunk before. */
export async function runTraced(
  session: Session,
  work: ChunkWork,
  request: ChunkRequest,
  waited: { readonly tries: number; readonly waitMs: number },
): Promise<ChunkOutcome> {
  const { migration, run, step, trace } = work;
  if (trace === null) return await runChunk(session, work, request);
  const { tries: retries, waitMs } = waited;
  const about = { migration: migration.name, direction: run.direction, run: run.id, range: request.no };
  return await trace.span('migration.chunk', { ...about, retries, wait_ms: waitMs }, async (span) => {
    const outcome = await runChunk(session, work, request);
    span.set({ outcome: outcome.kind });
    if (outcome.kind === 'failed') span.failed(outcome.error);
    if (outcome.kind === 'advanced') {
      const { rows, changed, limits, readMs } = outcome;
      span.set({ rows, changed, size: mostRows(limits, step.setBased), read_ms: readMs });
    }
    return outcome;
  });
}
