import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../../config/config.ts';
import { fail } from '../../errors.ts';
import { readJournal } from '../../migration/file/other-tools.ts';

/**
 * Drizzle records a hash of the file and the time of its journal, and no name: which file that was is only in the
 * journal that drizzle-kit writes beside its migrations.
 */

/** Where a project may have its journal: where drizzle.config says, where it says nothing, and here. */
function journalsOf({ cwd, migrationsDirs }: Pick<Config, 'cwd' | 'migrationsDirs'>): readonly string[] {
  const configs = readdirSync(cwd).filter((name) => /^drizzle[\w.-]*\.(?:[cm]?[jt]s|json)$/.test(name));
  const named = configs.flatMap((name) => {
    const [, , out] =
      /\bout['"]?\s*:\s*(['"`])([^'"`]+)\1/.exec(readFileSync(path.join(cwd, name), 'utf8')) ?? [];
    return out === undefined ? [] : [path.resolve(cwd, out)];
  });
  const folders = [...new Set([...named, path.join(cwd, 'drizzle'), ...migrationsDirs])];
  return folders.map((folder) => path.join(folder, 'meta', '_journal.json'));
}

/** The names of what Drizzle has recorded with these times; of one that no journal has, the time itself. */
export function drizzleNames(
  times: readonly string[],
  places: Pick<Config, 'cwd' | 'migrationsDirs'>,
): readonly string[] {
  const known = new Map(
    journalsOf(places)
      .flatMap(readJournal)
      .map(({ when, tag }) => [when, tag]),
  );
  return times.map((createdAt) => known.get(createdAt) ?? `created_at ${createdAt}`);
}

/** Throws CONFIG where no journal tells the names. */
export function requireJournal(places: Pick<Config, 'cwd' | 'migrationsDirs'>): void {
  const journals = journalsOf(places);
  if (journals.some((journal) => existsSync(journal))) return;
  throw fail('CONFIG', {
    message: 'what Drizzle has executed is not known: it records no names, and its journal was not found',
    detail: `looked for ${journals.join(', ')}`,
    hint: 'drizzle-kit keeps it in its out folder: name that as out in drizzle.config.ts',
  });
}
