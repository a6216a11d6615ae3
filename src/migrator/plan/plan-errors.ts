import { UmzugClusterError, fail, messageOf, codeOf } from '../../errors.ts';
import { isThrown } from '../../migration/handle/mistakes.ts';
import { judgeError } from '../../run/lane/failure.ts';

/** A table, column or key that is not there: an earlier schema migration may make it. */
export function isAboutWhatIsMissing(error: unknown): boolean {
  const text = messageOf(error);
  const isRefusal =
    !(error instanceof UmzugClusterError) ||
    error.code === 'SELECT_REFUSED' ||
    error.code === 'MIGRATION_FAILED';
  return isRefusal && /does not exist|is not a column of|needs a NOT NULL unique key/.test(text);
}

/** The error of a plan, as a person should read it. */
export function explained(name: string, error: unknown): UmzugClusterError {
  if (error instanceof UmzugClusterError) {
    if (error.code !== 'MIGRATION_FAILED' || error.message.startsWith(`${name}:`)) return error;
    const { message, detail, hint } = error;
    return fail(error.code, { message: `${name}: ${message}`, detail, hint, cause: error });
  }
  const code = codeOf(error);
  const verdict = isThrown(error) ? 'shrink' : judgeError(error, null);
  return fail('MIGRATION_FAILED', {
    message: `${name}: the sample failed: ${messageOf(error)}`,
    detail: code === undefined ? undefined : `SQLSTATE ${code}`,
    hint:
      verdict === 'stop'
        ? 'it was rolled back; fix the file: `up` would stop at this error'
        : 'it was rolled back; `up` would try the chunk again with fewer rows, and quarantine single bad rows',
    cause: error,
  });
}
