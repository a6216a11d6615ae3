import { fail } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { MigrationFile } from '../migration/folder.ts';
import type { UpOptions } from './requests.ts';
import type { LedgerState } from './state.ts';
import { unknownName } from './umzug.ts';

/** Refuses names that do not exist, and new files that sort before executed ones; the pending files. */
export function checkOrder(
  files: readonly MigrationFile[],
  state: LedgerState,
  options: UpOptions,
): readonly MigrationFile[] {
  const executed = new Set(state.executed.map(({ name }) => name));
  const pending = files.filter(({ name }) => !executed.has(name));
  const allNames = files.map(({ name }) => name);
  const pendingNames = pending.map(({ name }) => name);
  for (const name of options.names ?? []) {
    if (!allNames.includes(name)) throw unknownName(name, allNames, 'known');
    if (executed.has(name) && (options.rerun ?? 'THROW') === 'THROW') {
      throw fail('USAGE', {
        message: `${name} is executed already`,
        hint: 'use --rerun SKIP or --rerun ALLOW',
      });
    }
  }
  if (options.to !== undefined && !pendingNames.includes(options.to)) {
    throw unknownName(options.to, pendingNames, 'pending');
  }
  const lastExecuted = state.executed
    .map(({ name }) => name)
    .filter((name) => allNames.includes(name))
    .at(-1);
  const early = pending.find(({ name }) => lastExecuted !== undefined && name < lastExecuted);
  if (early === undefined || options.allowOutOfOrder === true || options.names !== undefined) return pending;
  throw fail('ORDER', {
    message: `${early.name} is new, but sorts before ${lastExecuted}, which is executed`,
    detail: 'nothing was run',
    hint: 'rename the new file, or run it out of order with --allow-out-of-order',
  });
}

/** Warns of executed files that are missing; with `strict` refuses. */
export function warnOfDrift(
  files: readonly MigrationFile[],
  state: LedgerState,
  strict: boolean,
  logger: Logger,
): void {
  const present = new Set(files.map(({ name }) => name));
  const missing = state.executed.filter(({ name }) => !present.has(name)).map(({ name }) => name);
  if (missing.length === 0) return;
  const message = `executed but missing: ${missing.join(', ')}`;
  if (strict) {
    throw fail('DRIFT', { message, hint: 'put the files back, or run without --strict' });
  }
  logger.warn({ event: 'migration.missing', missing }, message);
}

/** Throws where a migration of the folder is not executed, or one of `names` is not. */
export function assertExecuted(
  files: readonly MigrationFile[],
  executed: readonly string[],
  names: readonly string[] = files.map(({ name }) => name),
): void {
  const missing = names.filter((name) => !executed.includes(name));
  if (missing.length === 0) return;
  const unknown = missing.find((name) => !files.some((file) => file.name === name));
  if (unknown !== undefined)
    throw unknownName(
      unknown,
      files.map(({ name }) => name),
      'known',
    );
  throw fail('NOT_EXECUTED', {
    message: `${missing.join(', ')}: not executed`,
    detail: 'this application expects it to be done',
    hint: 'run umzug-cluster up first; umzug-cluster status shows what is under way',
  });
}
