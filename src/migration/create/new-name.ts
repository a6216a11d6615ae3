import { fail } from '../../errors.ts';
import { isMigrationFile, longestName } from '../file/folder.ts';
import { nextPrefix } from './next-prefix.ts';

/**
 * The name of a new migration: with a prefix as the names that are there have it, so that it comes last, or as umzug's
 * `create` makes it, `2025.05.18T22.04.04.name`. Throws USAGE.
 */
export function migrationName(input: {
  readonly name: string;
  /** Undefined: as the names that are there have it. */
  readonly prefix: 'TIMESTAMP' | 'DATE' | 'NONE' | undefined;
  readonly now: Date;
  readonly existing?: readonly string[];
}): string {
  const slug = input.name.trim().replaceAll(/\s+/g, '-');
  if (!/^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u.test(slug) || slug.includes('..')) {
    throw unusable(input.name, 'use letters, digits, dots, dashes and underscores; no path');
  }
  // `x.ts` would become x.ts.ts, and the folder passes over x.test.ts and x.d.ts.
  if (isMigrationFile(slug) || !isMigrationFile(`${slug}.ts`)) {
    throw unusable(
      input.name,
      'leave out the extension; names of test and declaration files are not allowed',
    );
  }
  const iso = input.now.toISOString();
  const prefixes = {
    TIMESTAMP: `${iso.slice(0, 19).replaceAll(/[-:]/g, '.')}.`,
    DATE: `${iso.slice(0, 10).replaceAll('-', '.')}.`,
    NONE: '',
  };
  const { prefix, now, existing = [] } = input;
  const asThere = prefix === undefined ? nextPrefix(existing, slug, now) : null;
  const name = (asThere ?? prefixes[prefix ?? 'TIMESTAMP']) + slug;
  if (name.length > longestName)
    throw unusable(input.name, `use at most ${longestName} characters, including the prefix`);
  return name;
}

function unusable(name: string, detail: string): Error {
  return fail('USAGE', {
    message: `"${name}" cannot be the name of a migration`,
    detail,
    hint: 'for example: --name dated-to-date-given',
  });
}
