import { withoutName } from '../../core/values/names.ts';
import { type Shortage, shortageOf } from '../../core/errors/shortage.ts';
import { type JudgedError, type Verdict, judge } from '../../core/errors/verdict.ts';
import { type ErrorCode, UmzugClusterError, exitCodes, fail, messageOf, codeOf } from '../../errors.ts';
import { routineOf } from '../../migration/handle/mistake-behind.ts';
import { unhandled, isThrown } from '../../migration/handle/mistakes.ts';
import type { Session } from '../../postgres/session.ts';
import type { FailedChunk } from '../chunk/chunk.ts';
import type { ChunkWork } from '../context/chunk-work.ts';

/** What to do after a failed chunk. A mistake of the code, such as a missing await, fails everywhere. */
export function verdictOf(failure: FailedChunk, session: Session | null): Verdict {
  const { error, exceeded, tried } = failure;
  // A busy machine may let a single row wait for long, once.
  if (exceeded) return tried?.rows === 1 ? 'once-then-shrink' : 'shrink';
  if (error instanceof UmzugClusterError) return ofChunk.get(error.code) ?? 'stop';
  if (isThrown(error)) return 'shrink';
  const verdict = judgeError(error, session);
  // Whoever has a transaction was let in: this is what author code raises.
  return verdict === 'refused' && tried !== null ? 'stop' : verdict;
}

/** The refusals that are of some rows, or of so many of them, and not of the code. */
const ofChunk: ReadonlyMap<ErrorCode, Verdict> = new Map([
  ['VALUE_REFUSED', 'shrink'],
  ['STATEMENT_TOO_LARGE', 'halve'],
]);

/** Judges what any statement of the product threw. */
export function judgeError(error: unknown, session: Session | null): Verdict {
  return error instanceof UmzugClusterError ? 'stop' : judge(asJudged(error, session));
}

/** The cause of a lost connection comes on the client's `error` event, not on the rejected query. */
function asJudged(error: unknown, session: Session | null): JudgedError {
  const code = codeOf(error) ?? codeOf(session?.lost);
  const said = { message: messageOf(error), routine: routineOf(error), isDatabase: true };
  return { ...(code === undefined ? {} : { code }), ...said };
}

/** The message of an error, and before it by name what the server has run out of. */
export function named(error: unknown): string {
  const shortage = shortageBehind(error);
  return shortage === null ? messageOf(error) : `${shortage.what}: ${messageOf(error)}`;
}

/** What the server has run out of, where that is what an error tells. */
export function shortageBehind(error: unknown): Shortage | null {
  const code = codeOf(error);
  if (code === undefined) return null;
  const { hint } = error as { readonly hint?: unknown };
  return shortageOf({ code, message: messageOf(error), hint: typeof hint === 'string' ? hint : undefined });
}

/** The error of a login that will not succeed however often it is tried. */
export function refusedLogin(error: unknown): Error {
  const advice = 'check user, password and database, including those of a pooler';
  return unavailable('cannot log in to the database', error, { again: '`up`', advice });
}

/**
 * The end of patience with a database that does not work: `what` failed. `advice`: what to look at before
 * `again` is run, where the server does not say what it has run out of.
 */
export function unavailable(
  what: string,
  error: unknown,
  { again, advice }: { readonly again: string; readonly advice?: string },
): UmzugClusterError {
  const code = codeOf(error);
  const todo = shortageBehind(error)?.remedy ?? advice;
  return fail('DATABASE_UNAVAILABLE', {
    message: `${what}: ${named(error)}`,
    detail: code === undefined ? undefined : `code ${code}`,
    hint: `no progress is lost; ${todo === undefined ? '' : `${todo}, then `}run ${again} again`,
    cause: error,
  });
}

/** The error with which a chunk stops its run: names the migration and the range. */
export function stopping(error: unknown, { migration, run }: ChunkWork, no: number, why?: string): Error {
  const where = `${migration.name}, ${run.direction}, range ${no}`;
  if (error instanceof UmzugClusterError && exitCodes[error.code] !== exitCodes.MIGRATION_FAILED)
    return error;
  const known = error instanceof UmzugClusterError ? error : null;
  const said = withoutName(messageOf(error), migration.name);
  const code = known === null ? codeOf(error) : undefined;
  return fail('MIGRATION_FAILED', {
    message: `${where}: ${why === undefined ? '' : `${why}: `}${said}`,
    detail: known?.detail ?? (code === undefined ? undefined : `SQLSTATE ${code}`),
    hint:
      known?.hint ??
      `the chunk was rolled back, earlier chunks are kept; fix ${run.plan.images === undefined ? migration.path : 'the table'} and run \`${run.direction}\` again`,
    cause: error,
  });
}

/** The error with which something that no promise of `update` carried stops its run. */
export function strayed(error: unknown, { migration, run }: ChunkWork): Error {
  const { message, detail, hint } = unhandled(run.direction === 'up' ? 'update' : 'down.update', error);
  return fail('MIGRATION_FAILED', { message: `${migration.name}: ${message}`, detail, hint, cause: error });
}
