import { UmzugClusterError, fail, messageOf, codeOf } from '../../errors.ts';
import { isThrown } from '../../migration/handle/mistakes.ts';
import { judgeError } from '../../run/lane/failure.ts';
import type { Watched } from '../../run/schema/giving-way.ts';
import type { MigrationPlan } from './plan-report.ts';

// A new value of an enum, and a table with rows that wait for a trigger: there once the other has committed.
const needsCommit: ReadonlySet<string> = new Set(['55P04', '55006']);
// No lock, no answer in time, a deadlock: of the server as it is now, not of the file.
const passing: ReadonlySet<string> = new Set(['55P03', '57014', '40P01']);

interface Situation extends Pick<MigrationPlan, 'kind' | 'after'> {
  readonly schemaBefore: string | null;
  readonly dataBefore: string | null;
  readonly trial: Watched | null;
}

/**
 * Why an error does not say that `up` would fail: what comes before is not there yet, or a plan does not wait; null: it
 * says so.
 */
export function whyNotPlanned(
  error: unknown,
  { schemaBefore, dataBefore, after, kind, trial }: Situation,
): Pick<MigrationPlan, 'blockedBy' | 'unplanned'> | null {
  if (schemaBefore !== null && isAboutWhatIsMissing(error))
    return { blockedBy: schemaBefore, unplanned: null };
  if (trial === null) return null;
  // The author's function is named already.
  const cause = error instanceof UmzugClusterError ? (error.cause ?? error) : error;
  const code = codeOf(cause) ?? '';
  if (wasIdle(trial.session))
    return { blockedBy: null, unplanned: 'it did nothing on db for longer than a plan may hold locks' };
  if (passing.has(code)) return { blockedBy: null, unplanned: impatience(code, cause, trial) };
  if (needsCommit.has(code)) return { blockedBy: after.at(-1) ?? null, unplanned: messageOf(cause) };
  // What is written wrong is wrong whatever the rows are, and so is a mistake that the guard finds.
  const isAboutRows = kind === 'schema' && (isThrown(cause) || /^(?!42|25)./.test(code));
  return dataBefore !== null && isAboutRows ? { blockedBy: dataBefore, unplanned: messageOf(cause) } : null;
}

/** The server has ended the transaction since nothing was asked of it. */
export function wasIdle({ lost }: Watched['session']): boolean {
  return codeOf(lost) === '25P03';
}

function impatience(code: string, error: unknown, { waited }: Watched): string {
  if (code === '55P03') return `its lock was not to be had at once: ${waited() ?? messageOf(error)}`;
  return code === '57014'
    ? `a statement took longer than a plan may hold locks (${messageOf(error)})`
    : messageOf(error);
}

/** A table, column or key that is not there: an earlier schema migration may make it. */
function isAboutWhatIsMissing(error: unknown): boolean {
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
    if (error.code !== 'MIGRATION_FAILED' || /^[:,]/.test(error.message.replace(name, ''))) return error;
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
