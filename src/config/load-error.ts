import path from 'node:path';
import { redact } from '../core/redact.ts';
import { type ErrorCode, type UmzugClusterError, fail, messageOf } from '../errors.ts';

/** What went wrong while a file of the user's was loaded, with its place where that is known. */
export function loadError(file: string, error: unknown, code: ErrorCode, hint?: string): UmzugClusterError {
  const label = path.basename(file);
  const message = redact(messageOf(error));
  const given = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  if (given === 'MODULE_NOT_FOUND' || given === 'ERR_MODULE_NOT_FOUND') {
    const missing = /'([^']+)'/.exec(message)?.[1] ?? message;
    return fail(code, {
      message: `${label}: cannot find module '${missing}'`,
      hint: 'install it, or correct the import',
      cause: error,
    });
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
  return fail(code, { message: `${label} threw while it was loaded: ${message}`, hint, cause: error });
}
