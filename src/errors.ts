import { withoutSecrets } from './core/errors/redact.ts';

/**
 * The only place that declares error classes. Every error a user sees carries a stable code, and
 * PostgreSQL's three parts: what happened (message), why, with values (detail), what to do (hint).
 */

/** Exit code of the command line for each error code; the meaning of the numbers is in the README. */
export const exitCodes = {
  MIGRATION_FAILED: 1,
  VALUE_REFUSED: 1,
  STATEMENT_TOO_LARGE: 1,
  USAGE: 2,
  CONFIG: 2,
  MIGRATION_FILE: 2,
  SELECT_REFUSED: 2,
  NO_DOWN: 2,
  PERMISSION: 2,
  SERVER_UNSUPPORTED: 2,
  DRIFT: 3,
  ORDER: 3,
  RISK: 3,
  RECORDED_ELSEWHERE: 3,
  REVERTING: 3,
  RUNNING: 3,
  NOT_EXECUTED: 3,
  LEDGER_VERSION: 3,
  DATABASE_UNAVAILABLE: 4,
  DATABASE_READ_ONLY: 4,
  STOPPED: 5,
  LEDGER_DAMAGED: 70,
  INTERNAL: 70,
  HANGUP: 129,
  INTERRUPTED: 130,
  TERMINATED: 143,
} as const;

/** What each exit code tells whoever started the command. */
export const exitMeanings: readonly { readonly codes: readonly number[]; readonly meaning: string }[] = [
  { codes: [0], meaning: 'done, or nothing to do' },
  { codes: [1], meaning: 'a migration failed because of its code or data (including quarantined rows)' },
  { codes: [2], meaning: 'wrong usage, configuration or migration file, or a missing permission' },
  {
    codes: [3],
    meaning:
      'refused for safety: a changed file, the order, files that another tool has run, a rollback in progress, another ledger version; with `validate --strict` a risky statement',
  },
  { codes: [4], meaning: 'the database is unavailable or read-only; no progress is lost' },
  {
    codes: [5],
    meaning:
      'stopped before the end: paused, cancelled, out of time, at its limit or by the throttle; resumable',
  },
  { codes: [70], meaning: 'the ledger is inconsistent, or a bug' },
  { codes: [129, 130, 143], meaning: 'stopped by SIGHUP, SIGINT, SIGTERM; resumable' },
];

export type ErrorCode = keyof typeof exitCodes;

/** What a call ends with that was asked to stop. */
export const stopCodes = {
  SIGINT: 'INTERRUPTED',
  SIGTERM: 'TERMINATED',
  SIGHUP: 'HANGUP',
  deadline: 'STOPPED',
} as const satisfies Record<string, ErrorCode>;

const stops: ReadonlySet<ErrorCode> = new Set(Object.values(stopCodes));

/** Whether this is the code of a command that was stopped on request, or whose run was; it can be resumed. */
export function isStop(code: ErrorCode): boolean {
  return stops.has(code);
}

export interface ErrorParts {
  /** What happened, in lower case, naming the object. Never a row's values, never a secret. */
  readonly message: string;
  /** Why, with values that are safe to print. */
  readonly detail?: string | undefined;
  /** What to do, with the command to type. */
  readonly hint?: string | undefined;
  /** The error this one explains; shown with `--verbose`. */
  readonly cause?: unknown;
  /** What a command had found out; with `--json` it is printed beside the error. */
  readonly report?: object | undefined;
}

/** An error with a stable `code`, made to be shown to a person or to a pipeline. */
export class UmzugClusterError extends Error {
  readonly code: ErrorCode;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  readonly report: object | undefined;

  constructor(code: ErrorCode, parts: ErrorParts) {
    super(parts.message, parts.cause === undefined ? undefined : { cause: parts.cause });
    this.name = 'UmzugClusterError';
    this.code = code;
    this.detail = parts.detail;
    this.hint = parts.hint;
    this.report = parts.report;
  }

  get exitCode(): number {
    return exitCodes[this.code];
  }
}

/** Makes an error that a user can act on. */
export function fail(code: ErrorCode, parts: ErrorParts): UmzugClusterError {
  return new UmzugClusterError(code, parts);
}

/** What to do about a file or a folder that may not be read or written; undefined: that is not what is wrong. */
export function accessHint(thrown: unknown, what: 'read' | 'write'): string | undefined {
  const code = (thrown as { readonly code?: unknown } | null | undefined)?.code;
  if (what === 'write' && code === 'EROFS') return 'it is on a read-only file system: choose another place';
  if (code !== 'EACCES' && code !== 'EPERM') return undefined;
  return `let the user who runs this ${what} it (chmod, chown), or run as another user`;
}

/** The error for a place that cannot be read or written. */
export function placeError(message: string, thrown: unknown, what: 'read' | 'write'): UmzugClusterError {
  return fail('CONFIG', {
    message,
    detail: messageOf(thrown),
    hint: accessHint(thrown, what),
    cause: thrown,
  });
}

/** SQLSTATE or system code of anything that was thrown but an error of this product. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  if (error instanceof UmzugClusterError) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

// A message goes to the log, the ledger and the terminal; an author's may hold a whole document.
const longestMessage = 2_000;

/** The message of anything that was thrown; author code may throw strings, null or undefined. Bounded. Never throws. */
export function messageOf(thrown: unknown): string {
  const message = withoutSecrets(textOf(thrown));
  return message.length <= longestMessage ? message : `${message.slice(0, longestMessage)}…`;
}

function textOf(thrown: unknown): string {
  try {
    const message: unknown = (thrown as { readonly message?: unknown } | null | undefined)?.message;
    const said = typeof message === 'string' ? message : '';
    if (thrown instanceof Error) return said || String(thrown.name);
    return `non-Error: ${said === '' ? shown(thrown) : `an object that says ${JSON.stringify(said)}`}`;
  } catch {
    return 'non-Error: an object that throws where it is looked at';
  }
}

/** What was thrown, without looking into it: an object may hold rows, or itself. */
function shown(thrown: unknown): string {
  if (typeof thrown === 'string') return JSON.stringify(thrown);
  if (typeof thrown === 'function') return 'a function';
  return typeof thrown === 'object' && thrown !== null ? 'an object' : String(thrown);
}
