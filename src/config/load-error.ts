import path from 'node:path';
import { redact } from '../core/errors/redact.ts';
import { type ErrorCode, UmzugClusterError, accessHint, fail, messageOf } from '../errors.ts';

// Nothing that a migration is made of takes so long to load; what does waits for something that never comes.
const mostLoadMs = 30_000;

/** Waits for a file of the user's that is being loaded. Throws what `loadError` makes of its failure. */
export async function loaded<T>(
  loading: Promise<T>,
  file: string,
  code: ErrorCode,
  hint?: string,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(neverLoaded(file, code)), mostLoadMs);
  });
  try {
    return await Promise.race([loading, late]);
  } catch (error) {
    throw error instanceof UmzugClusterError ? error : loadError(file, error, code, hint);
  } finally {
    clearTimeout(timer);
  }
}

function neverLoaded(file: string, code: ErrorCode): UmzugClusterError {
  return fail(code, {
    message: `${path.basename(file)} was not loaded within ${mostLoadMs / 1_000} s`,
    detail: 'it awaits something that never happens',
    hint: 'a file should only export: do the work in its functions',
  });
}

/** What went wrong while a file of the user's was loaded, with its place where that is known. */
function loadError(file: string, error: unknown, code: ErrorCode, hint?: string): UmzugClusterError {
  const label = path.basename(file);
  const message = redact(messageOf(error));
  const given = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  if (given === 'MODULE_NOT_FOUND' || given === 'ERR_MODULE_NOT_FOUND') {
    const missing = /'([^']+)'/.exec(message)?.[1] ?? message;
    return fail(code, {
      message: `${label}: cannot find module '${missing}'`,
      hint: /^[./]/.test(missing)
        ? 'fix the import, or make its folder readable'
        : 'install it, or fix the import',
      cause: error,
    });
  }
  const forbidden = forbiddenFile(error);
  if (forbidden !== null) {
    const place = path.relative(path.dirname(file), forbidden);
    const what = forbidden === file ? `cannot read ${label}` : `${label}: cannot read ${place}`;
    return fail(code, { message: what, detail: message, hint: accessHint(error, 'read'), cause: error });
  }
  // jiti's own words: "ParseError: what is wrong", and on the next line "/path/of/file.ts:12:5".
  const parse = /^ParseError:\s*(.*?)\s*(?:\n\s*(.+):(\d+):(\d+)\s*)?$/.exec(message);
  if (parse !== null) {
    const [, what, where = file, line, column] = parse;
    const at = line === undefined ? '' : `:${line}:${column}`;
    const by = where === file ? '' : `, imported by ${label}`;
    const place = path.relative(path.dirname(file), where) + at + by;
    return fail(code, { message: `${place} syntax error: ${what}`, cause: error });
  }
  return fail(code, { message: `${label} threw while loading: ${message}`, hint, cause: error });
}

/** The file that this user may not read; null: something else was wrong. */
function forbiddenFile(error: unknown): string | null {
  if (accessHint(error, 'read') === undefined) return null;
  const { path: file } = error as NodeJS.ErrnoException;
  return typeof file === 'string' && path.isAbsolute(file) ? file : null;
}
