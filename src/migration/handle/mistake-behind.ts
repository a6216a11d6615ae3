import { pg } from '../../postgres/pg.ts';
import { judge } from '../../core/errors/verdict.ts';
import { messageOf, codeOf } from '../../errors.ts';
import * as mistakes from './mistakes.ts';

/** The author's mistake that an error of the database tells of, or null where it says enough by itself. */
export function mistakeBehind(error: unknown, what: string): Error | null {
  // COMMIT in a DO block, or in a procedure.
  if (codeOf(error) === '2D000') return mistakes.ended(what);
  if (codeOf(error) === '25006') return mistakes.readOnly(what, error);
  // The server's function tells it apart from other wrong SQL; its message is in the server's language.
  if (codeOf(error) === '42601' && routineOf(error) === 'exec_parse_message') {
    return mistakes.severalStatements(what);
  }
  return null;
}

/** The function of the server that raised an error; a pooler's errors have none. */
export function routineOf(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.routine : undefined;
}

/** Whether an error of the database passes, so that the chunk is to be tried again. */
export function isTransient(error: unknown): boolean {
  const code = codeOf(error);
  if (code === undefined) return false;
  const message = messageOf(error);
  return judge({ code, message, routine: routineOf(error), isDatabase: true }).startsWith('retry');
}
