import { mostListed } from '../../core/values/numbers.ts';
import { createRequire } from 'node:module';
import path from 'node:path';
import { postpone } from '../../config/postpone.ts';
import { UmzugClusterError, fail, messageOf } from '../../errors.ts';
import { nearest } from '../../core/values/names.ts';
import { type MigrationFile, nameOfFile } from '../../migration/file/folder.ts';
import type { EventEmitter } from 'node:events';
import type { DownOptions, MigratorEvents } from './requests.ts';

type Umzug = import('umzug').Umzug<object>;

/** Runs one migration in one direction. */
interface UpDown {
  readonly up: (file: MigrationFile) => Promise<void>;
  readonly down: (file: MigrationFile) => Promise<void>;
}

/**
 * The Umzug instance: it decides order and what is pending. Its storage only reads: the ledger has recorded
 * a migration in the transaction that ended it, and what it reads is what the command has seen: what other hosts
 * have done since is found where a migration is started. Loaded only where something is pending.
 */
export function openUmzug(
  files: readonly MigrationFile[],
  executor: UpDown,
  executed: readonly string[],
  events: EventEmitter<MigratorEvents>,
): Umzug {
  const { Umzug } = requireUmzug();
  const umzug = new Umzug<object>({
    migrations: files.map((file) => ({
      name: file.name,
      path: file.path,
      up: () => executor.up(file),
      down: () => executor.down(file),
    })),
    // A function as context would be called, and a knex instance is a function.
    context: {},
    logger: undefined,
    storage: {
      executed: () => Promise.resolve([...executed]),
      logMigration: () => Promise.resolve(),
      unlogMigration: () => Promise.resolve(),
    },
  });
  for (const event of ['migrating', 'migrated', 'reverting', 'reverted'] as const) {
    umzug.on(event, ({ name, path }) => void events.emit(event, { name, path: path ?? '' }));
  }
  return umzug;
}

/**
 * Umzug, required: see `postgres/pg`. It loads a parser of command lines, 150 files for its own CLI, and a finder of
 * files, neither of which is asked for here: 180 ms with both, 4 without.
 */
function requireUmzug(): typeof import('umzug') {
  const require = createRequire(import.meta.url);
  postpone(require, 'umzug/lib/cli', ['UmzugCLI']);
  postpone(createRequire(require.resolve('umzug')), 'tinyglobby', ['glob', 'globSync']);
  return require('umzug') as typeof import('umzug');
}

/** The migrations that `down` reverts, last first; refuses names that are not there. */
export function revertTargets(
  files: readonly MigrationFile[],
  begun: readonly string[],
  options: DownOptions,
): readonly MigrationFile[] {
  const known = new Set(begun);
  const candidates = files.filter(({ name }) => known.has(name)).reverse();
  const find = (name: string): number => {
    const index = candidates.findIndex((file) => file.name === name);
    if (index === -1)
      throw unknownName(
        name,
        candidates.map((file) => file.name),
        'executed',
      );
    return index;
  };
  if (options.names !== undefined)
    return [...new Set(options.names)].map((name) => candidates[find(name)] as MigrationFile);
  if (options.to === 0) return candidates;
  if (options.to !== undefined) return candidates.slice(0, find(options.to) + 1);
  return candidates.slice(0, options.step ?? 1);
}

/** The refusal of a name that is not among the possible ones. */
export function unknownName(name: string, among: readonly string[], what: string): Error {
  // A path is what the shell completes.
  const similar = nearest(name, among) ?? nearest(nameOfFile(path.basename(name)), among);
  return fail('USAGE', {
    message: `no ${what} migration is named "${name}"`,
    detail: among.length === 0 ? `no migration is ${what}` : `${what}: ${listed(among)}`,
    hint: similar === null ? undefined : `did you mean "${similar}"?`,
  });
}

// A folder may hold thousands.

function listed(names: readonly string[]): string {
  const more = names.length - mostListed;
  return names.slice(-mostListed).join(', ') + (more > 0 ? `, and ${more} more` : '');
}

/** Umzug wraps what a migration threw; the user reads the cause. */
export function unwrap(error: unknown): unknown {
  let inner = error;
  while (inner instanceof Error && !(inner instanceof UmzugClusterError) && inner.cause !== undefined) {
    inner = inner.cause;
  }
  if (inner instanceof UmzugClusterError) return inner;
  if (error instanceof Error && error.message.startsWith("Couldn't find migration")) {
    return fail('USAGE', { message: messageOf(error), hint: 'umzug-cluster pending lists the names' });
  }
  return inner;
}
