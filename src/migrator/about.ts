import { UmzugClusterError, codeOf, fail } from '../errors.ts';

/** An error that names its migration: a refusal of a table or a statement does not know whose it is. */
export function about(name: string, error: unknown): unknown {
  if (codeOf(error) === untranslatable) return unstorable(name, error);
  if (!(error instanceof UmzugClusterError) || !ofOneMigration.has(error.code)) return error;
  // A name may be a word: "a migration must not" does not speak of one that is called a.
  const isNamed = [`${name}:`, `${name},`].some((beginning) => error.message.startsWith(beginning));
  if (isNamed || error.message.includes(`/${name}.`)) return error;
  const { code, message, detail, hint, report } = error;
  return fail(code, { message: `${name}: ${message}`, detail, hint, report, cause: error });
}

// A character that the encoding of the database does not have.
const untranslatable = '22P05';

function unstorable(name: string, cause: unknown): Error {
  return fail('MIGRATION_FILE', {
    message: `${name}: it has a character that the encoding of the database cannot store`,
    detail: 'in its name, in the name of a file that it imports, or in its select',
    hint: 'rename the file, or write the character in a way that the database can store',
    cause,
  });
}

const ofOneMigration: ReadonlySet<string> = new Set(['SELECT_REFUSED', 'PERMISSION', 'MIGRATION_FAILED']);
