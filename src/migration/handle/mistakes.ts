import { UmzugClusterError, fail, messageOf } from '../../errors.ts';

/** What author code can do wrong with its handle: each mistake with its name and its fix. */

const endHint = 'remove COMMIT and ROLLBACK; throw an error to roll the chunk back';

/** `db.commit` or `db.rollback` was called. */
export function ending(method: string): Error {
  return mistake(`db.${method} must not be used: umzug-cluster ends the transaction of a chunk`, {
    hint: 'throw an error to roll the chunk back; use db.transaction() for a savepoint',
  });
}

export function ended(what: string): Error {
  return mistake(`${what} ended the transaction that umzug-cluster had started`, { hint: endHint });
}

export function severalStatements(what: string): Error {
  return mistake(`${what} sent several statements with bindings in one string`, {
    hint: 'send each with its own db.raw; they still run in one transaction',
  });
}

/** A statement that was not sent, since it is larger than the protocol allows; the chunk with fewer rows may do. */
export function tooLarge(what: string, excess: string): Error {
  return fail('STATEMENT_TOO_LARGE', { message: `${what}: ${excess}` });
}

export function readOnly(what: string, cause: unknown): Error {
  return mistake(`${what} made its transaction read-only`, {
    hint: 'do not change transaction_read_only: the chunk’s progress is written in the same transaction',
    cause,
  });
}

export function stillRunning(what: string): Error {
  return mistake(`${what} returned while statements were still running on db`, {
    hint: 'await every statement; rows.forEach(async …) awaits nothing, use Promise.all(rows.map(…))',
  });
}

export function swallowed(what: string, firstError: unknown): Error {
  return mistake(
    `${what} caught a SQL error and continued, but Postgres had already aborted the transaction`,
    {
      detail: firstError === null ? undefined : `the error was: ${messageOf(firstError)}`,
      hint: 'do not catch the error, or run the statement in db.transaction() so that only its savepoint is lost',
      cause: firstError,
    },
  );
}

export function neverRun(what: string, method: string): Error {
  const article = /^[iu]/.test(method) ? 'an' : 'a';
  return mistake(
    `${what} built ${article} ${method} statement and never ran it: did you forget await or return?`,
    {
      hint: 'knex sends a statement when it is awaited or returned; use Promise.all for several',
    },
  );
}

export function noStatement(what: string, hasOwnConnection: boolean): Error {
  return mistake(`${what} ran no statement on db: did you forget await or return?`, {
    hint: hasOwnConnection
      ? 'return the query; write through the db passed to update, not through a connection of your own'
      : 'return the query, or set options.allowNoQueries',
  });
}

export function onlyRead(what: string): Error {
  return mistake(`${what} only read: no statement on db wrote a row`, {
    hint: 'write with chunk.update(…) or db, or set options.allowNoQueries',
  });
}

export function openTransaction(what: string): Error {
  return mistake(`${what} left a transaction of db.transaction() open`, {
    hint: 'commit or roll it back, or pass it a function: db.transaction(async (trx) => { … })',
  });
}

/** A statement after `update` had returned. It is not run; what it should have done is missing. */
export function tooLate(what: string): Error {
  return mistake(`db was used after ${what} had returned; that statement was not run`, {
    detail: 'chunks that committed in the meantime may lack what was still to come',
    hint: 'await everything, including timers and events, before update returns',
  });
}

/** An error that reached no promise of `update`. */
export function unhandled(what: string, error: unknown): UmzugClusterError {
  if (error instanceof UmzugClusterError) return error;
  return mistake(`${what} caused an error that nothing awaited: ${messageOf(error)}`, {
    hint: 'await or return every promise, and handle the errors of timers and events',
    cause: error,
  });
}

const rolledBack = 'what was not committed is rolled back; `up` resumes there';

/** A process ended in the middle of a migration. */
export function endedProcess(name: string): UmzugClusterError {
  return mistake(`${name}: its process ended before the work was done`, {
    detail: `process.exit was called by a migration file, the knexfile, or code they call; ${rolledBack}`,
    hint: 'throw an error instead',
  });
}

/** A process ended because it could do nothing else any more. */
export function blockedLoop(name: string, ceilingMs: number): UmzugClusterError {
  const seconds = ceilingMs / 1_000;
  return mistake(
    `${name}: update blocked the event loop for more than ${seconds} s, the time a chunk may take`,
    {
      detail: rolledBack,
      hint: 'look for an endless loop or a regular expression that never finishes; see the setting ceilingMs',
    },
  );
}

const own = new WeakSet<object>();

/**
 * What author code threw by itself, as an Error that `isThrown` knows. It may be anything, also an object that
 * throws where it is looked at: nothing but its text is kept.
 */
export function thrown(what: string, error: unknown): Error {
  if (error instanceof UmzugClusterError) return error;
  const isError = error instanceof Error;
  const told = new Error(isError ? messageOf(error) : `${what} threw a ${messageOf(error)}`);
  const stack = isError ? stackOf(error) : null;
  if (stack !== null) told.stack = stack;
  own.add(told);
  return told;
}

function stackOf(error: Error): string | null {
  try {
    return typeof error.stack === 'string' ? error.stack : null;
  } catch {
    return null;
  }
}

/** Whether author code threw this by itself: its text says nothing about the database. */
export function isThrown(error: unknown): boolean {
  return error instanceof Error && own.has(error);
}

function mistake(
  message: string,
  rest: { readonly detail?: string | undefined; readonly hint: string; readonly cause?: unknown },
): UmzugClusterError {
  return fail('MIGRATION_FAILED', { message, ...rest });
}
