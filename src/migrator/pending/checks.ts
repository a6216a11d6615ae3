import path from 'node:path';
import { type ConfusablePair, confusablePairs } from '../../core/values/confusable.ts';
import { changedFiles, namesOf } from '../../core/values/file-drift.ts';
import { fail } from '../../errors.ts';
import type { Logger } from '../../logger.ts';
import type { MigrationFile } from '../../migration/file/folder.ts';
import { hashesOfFile, notAsRecorded } from '../../migration/file/imports.ts';
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
  const past = new Set(options.past);
  for (const name of past) if (!state.held.includes(name)) throw notHeld(name, files, state);
  const pending = files.filter(({ name }) => !executed.has(name) && !past.has(name));
  const allNames = files.map(({ name }) => name);
  const pendingNames = pending.map(({ name }) => name);
  for (const name of options.names ?? []) {
    if (!allNames.includes(name)) throw unknownName(name, allNames, 'known');
    if (executed.has(name) && (options.rerun ?? 'THROW') === 'THROW') {
      throw fail('USAGE', {
        message: `${name} is already executed`,
        hint: 'use --rerun SKIP or --rerun ALLOW',
      });
    }
  }
  if (options.to !== undefined && !pendingNames.includes(options.to)) {
    throw unknownName(options.to, pendingNames, 'pending');
  }
  const present = new Set(allNames);
  const lastExecuted = state.executed.findLast(({ name }) => present.has(name))?.name;
  const early = pending.find(
    ({ name }) =>
      lastExecuted !== undefined &&
      name < lastExecuted &&
      !state.live.includes(name) &&
      !state.allowed.includes(name),
  );
  if (early === undefined || options.allowOutOfOrder === true || options.names !== undefined) return pending;
  throw fail('ORDER', {
    message: `${early.name} is new but sorts before ${lastExecuted}, which is executed`,
    detail: 'nothing was run',
    hint: 'rename the new file, or run it out of order with --allow-out-of-order',
  });
}

function notHeld(name: string, files: readonly MigrationFile[], { live, held }: LedgerState): Error {
  if (!live.includes(name) && !files.some((file) => file.name === name)) {
    return unknownName(name, [...held], 'paused or cancelled');
  }
  return fail('USAGE', {
    message: `${name} is neither paused nor cancelled: there is nothing to pass`,
    detail: held.length === 0 ? 'no migration is' : `these are: ${held.join(', ')}`,
    hint: live.includes(name)
      ? `park it first: umzug-cluster cancel ${name}`
      : `umzug-cluster status ${name}`,
  });
}

/** Pending migrations that `up --name` jumps over: they sort before one that it runs, and no run of them has started. */
export function jumpedOver(
  pending: readonly MigrationFile[],
  { live }: LedgerState,
  { names = [], past = [] }: UpOptions,
): readonly string[] {
  const last = pending.findLast(({ name }) => names.includes(name))?.name;
  if (last === undefined) return [];
  const isJumped = ({ name }: MigrationFile): boolean =>
    name < last && !names.includes(name) && !live.includes(name) && !past.includes(name);
  return pending.filter(isJumped).map(({ name }) => name);
}

/** What to say of it: whether the next `up` runs them. */
export function jumpedMessage(jumped: readonly string[], isAllowed: boolean): string {
  const first = `jumps over ${jumped.join(', ')}, pending and sorted before what is run now`;
  return isAllowed
    ? `${first}; the next umzug-cluster up runs what was jumped over`
    : `${first}; the next umzug-cluster up will refuse to run (exit code 3) unless it is given --allow-out-of-order`;
}

/** The migration file of this name; refuses one that is not there. */
export function fileNamed(files: readonly MigrationFile[], name: string): MigrationFile {
  const file = files.find((candidate) => candidate.name === name);
  if (file !== undefined) return file;
  const known = files.map((candidate) => candidate.name);
  throw unknownName(name, known, 'known');
}

/** The names of the pending migrations that `up` would run with these options. */
export function chosen(pending: readonly MigrationFile[], options: UpOptions): readonly string[] {
  const names = pending.map(({ name }) => name);
  if (options.names !== undefined) return names.filter((name) => options.names?.includes(name));
  if (options.to !== undefined) return names.slice(0, names.indexOf(options.to) + 1);
  return names.slice(0, options.step ?? names.length);
}

/** An executed migration whose file, or a file that it imports, is not as it was when it was executed. */
export interface Changed {
  readonly name: string;
  /** `a.ts`, or paths of imports relative to the folder of the migrations. */
  readonly files: string;
}

/** Executed migrations whose files have changed since. Throws MIGRATION_FILE where one cannot be read. */
export async function changedSince(
  files: readonly MigrationFile[],
  executed: LedgerState['executed'],
  elsewhere: LedgerState['elsewhere'] = new Map(),
): Promise<readonly Changed[]> {
  const byName = new Map(files.map((file) => [file.name, file]));
  const there = executed.flatMap((recorded) => {
    const file = byName.get(recorded.name);
    return file === undefined ? [] : [[file, recorded] as const];
  });
  const found: Changed[] = [];
  for (const [file, recorded] of await notAsRecorded(there)) {
    const changed = changedFiles(recorded, await hashesOfFile(file));
    if (changed.length === 0) continue;
    const folder = elsewhere.get(file.name);
    const from = folder === undefined ? '' : `, executed from ${folder}`;
    found.push({ name: file.name, files: namesOf(changed, path.basename(file.path)) + from });
  }
  return found;
}

/** Names of executed migrations of this folder that have no file any more. */
export function missingFiles(
  files: readonly MigrationFile[],
  { executed, elsewhere }: LedgerState,
): readonly string[] {
  const present = new Set(files.map(({ name }) => name));
  return executed.map(({ name }) => name).filter((name) => !present.has(name) && !elsewhere.has(name));
}

/** Names of migrations of this folder that are started and neither finished nor reverted, and have no file. */
function unfinishable(
  files: readonly MigrationFile[],
  { executed, live, elsewhere }: LedgerState,
): readonly string[] {
  if (live.length === 0) return [];
  const known = new Set([...files, ...executed].map(({ name }) => name));
  return live.filter((name) => !known.has(name) && !elsewhere.has(name));
}

/** `a (a.ts), b (lib/convert.ts)`. */
function listChanged(changed: readonly Changed[]): string {
  return changed.map((one) => `${one.name} (${one.files})`).join(', ');
}

/**
 * Warns of files that are missing though they were executed or started, of executed ones that have changed, and of
 * pending ones that run in another order than they read; with `strict` refuses all but the last.
 */
export async function warnOfDrift(
  files: readonly MigrationFile[],
  state: LedgerState,
  strict: boolean,
  logger: Logger,
): Promise<void> {
  const missing = missingFiles(files, state);
  if (missing.length > 0) {
    const message = `executed but missing: ${missing.join(', ')}`;
    if (strict) throw fail('DRIFT', { message, hint: 'put the files back, or run without --strict' });
    logger.warn({ event: 'migration.missing', missing }, message);
  }
  const unfinished = unfinishable(files, state);
  if (unfinished.length > 0) {
    const message = `started, not finished, and missing: ${unfinished.join(', ')}`;
    const hint = 'put the files back: a run can only be finished or reverted where they are';
    if (strict) throw fail('DRIFT', { message, hint });
    logger.warn({ event: 'migration.unfinished', missing: unfinished }, `${message}; ${hint}`);
  }
  const changed = await changedSince(files, state.executed, state.elsewhere);
  if (changed.length > 0) {
    const message = `changed after it was executed: ${listChanged(changed)}`;
    if (strict) {
      const hint = 'put the files back, or accept the edits: umzug-cluster repair';
      throw fail('DRIFT', { message, hint });
    }
    logger.warn({ event: 'migration.changed', changed: changed.map(({ name }) => name) }, message);
  }
  const executed = new Set(state.executed.map(({ name }) => name));
  const isNew = ({ name }: MigrationFile): boolean => !executed.has(name);
  const pairs = files.some(isNew) ? confusablePairs(files.map(({ name }) => name)) : [];
  for (const { first, second } of pairs) {
    if (executed.has(first) && executed.has(second)) continue;
    logger.warn({ event: 'migration.confusable', first, second }, confusableMessage({ first, second }));
  }
}

/** Refuses to revert what was only marked as executed: nothing is known of the rows that it changed. */
export function refuseBaselined(targets: readonly MigrationFile[], { executed }: LedgerState): void {
  const marked = executed.find(
    ({ name, kind, isBaseline }) =>
      isBaseline && kind === 'data' && targets.some((target) => target.name === name),
  );
  if (marked === undefined) return;
  throw fail('NO_DOWN', {
    message: `${marked.name} was marked as executed, not run: which rows it changed is unknown`,
    detail: 'nothing was changed',
    hint: `to make it pending again: umzug-cluster baseline --undo --name ${marked.name}`,
  });
}

/** What to say of two names that read in another order than they run. */
export function confusableMessage({ first, second }: ConfusablePair): string {
  return `${first} runs before ${second}: names are compared letter by letter; use leading zeros`;
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
    detail: 'this application requires it to be done',
    hint: 'run umzug-cluster up first; umzug-cluster status shows what is running',
  });
}
