import { type JudgedError, type Verdict, judge } from '../core/verdict.ts';
import { UmzugClusterError, exitCodes, fail, messageOf } from '../errors.ts';
import { astray, isThrown } from '../migration/mistakes.ts';
import type { Session } from '../postgres/session.ts';
import type { ChunkWork, FailedChunk } from './chunk.ts';

/** What to do after a failed chunk. A mistake of the code, such as a missing await, fails everywhere. */
export function verdictOf(failure: FailedChunk, session: Session | null): Verdict {
  const { error, exceeded } = failure;
  if (exceeded) return 'shrink';
  // A value that does not fit is bad data, of some row.
  if (error instanceof UmzugClusterError) return error.code === 'VALUE_REFUSED' ? 'shrink' : 'stop';
  if (isThrown(error)) return 'shrink';
  return judgeError(error, session);
}

/** Judges what any statement of the product threw. */
export function judgeError(error: unknown, session: Session | null): Verdict {
  return error instanceof UmzugClusterError ? 'stop' : judge(asJudged(error, session));
}

/** The cause of a lost connection comes on the client's `error` event, not on the rejected query. */
function asJudged(error: unknown, session: Session | null): JudgedError {
  const code = codeOf(error) ?? codeOf(session?.lost);
  return { ...(code === undefined ? {} : { code }), message: messageOf(error), isDatabase: true };
}

/** SQLSTATE or system code of anything that was thrown. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  if (error instanceof UmzugClusterError) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The error with which a chunk stops its run: names the migration and the range. */
export function stopping(error: unknown, { migration, run }: ChunkWork, no: number, why?: string): Error {
  const where = `${migration.name}, ${run.direction}, range ${no}`;
  if (error instanceof UmzugClusterError && exitCodes[error.code] !== exitCodes.MIGRATION_FAILED)
    return error;
  const known = error instanceof UmzugClusterError ? error : null;
  const code = known === null ? codeOf(error) : undefined;
  return fail('MIGRATION_FAILED', {
    message: `${where}: ${why === undefined ? '' : `${why}: `}${messageOf(error)}`,
    detail: known?.detail ?? (code === undefined ? undefined : `SQLSTATE ${code}`),
    hint:
      known?.hint ??
      `the chunk was rolled back, earlier chunks are safe; mend ${migration.path} and run \`${run.direction}\` again`,
    cause: error,
  });
}

/** The error with which something that no promise of `update` carried stops its run. */
export function strayed(error: unknown, { migration, run }: ChunkWork): Error {
  const { message, detail, hint } = astray(run.direction === 'up' ? 'update' : 'down.update', error);
  return fail('MIGRATION_FAILED', { message: `${migration.name}: ${message}`, detail, hint, cause: error });
}
