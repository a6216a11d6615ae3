import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../config/config.ts';
import { fail } from '../../errors.ts';
import { listMigrations, nameOfFile } from '../../migration/file/folder.ts';
import type { StatusReport } from '../../migrator/migrator.ts';
import type { Arguments, Command } from './command.ts';
import { type CommandContext, withContext } from './context.ts';
import type { Io } from './output.ts';

const namesOfMigrations = ['migration', 'name', 'past', 'to'] as const;

/**
 * The flags of a command with the names of migrations in full: a file's name may be typed with its extension, and any
 * part that only one name has stands for it. What no name has is left for the command to refuse. The ledger is read,
 * for files that are missing here, only where a word is no file's name.
 */
export async function withFullNames(flags: Arguments, io: Io, { names }: Command): Promise<Arguments> {
  const typed = namesOfMigrations.filter((flag) => flags[flag] !== undefined);
  if (names === 'new' || typed.length === 0) return flags;
  const plain = typed.map((flag) => [flag, mapped(flags[flag], nameOfFile)] as const);
  const words = plain.flatMap(([, value]) => [value].flat().map(String));
  const files = await namesOfFiles(flags, io);
  const isFull = (word: string): boolean => files.includes(word) || word === '' || word === '0';
  const given = { ...flags, ...Object.fromEntries(plain) };
  if (words.every(isFull)) return given;
  const known = new Set([...files, ...((await statusOf(flags, io)) ?? []).map(({ name }) => name)]);
  const full = (word: string): string => (isFull(word) ? word : fullName(word, [...known]));
  return { ...given, ...Object.fromEntries(plain.map(([flag, value]) => [flag, mapped(value, full)])) };
}

function mapped(value: unknown, change: (word: string) => string): unknown {
  return Array.isArray(value) ? value.map((one) => change(String(one))) : change(String(value));
}

/** The names of the files of the project; none where they cannot be read. */
export async function namesOfFiles(flags: Arguments, { cwd, env }: Io): Promise<readonly string[]> {
  const { migrationsDirs } = await loadConfig({ flags, cwd, env, needs: 'files' });
  return (await listMigrations(migrationsDirs).catch(() => [])).map(({ name }) => name);
}

type Entry = StatusReport['migrations'][number];

/** Null: there are several targets, and each has its own. */
async function statusOf(flags: Arguments, io: Io): Promise<readonly Entry[] | null> {
  const quiet = { ...flags, 'log-level': 'error', 'no-progress': true };
  const one = async ({ migrator }: CommandContext): Promise<readonly Entry[] | null> =>
    (await migrator.status()).migrations;
  return await withContext(quiet, io, one, () => Promise.resolve(null));
}

// Somebody waits for a message about what was typed.
const patienceMs = 2_000;

const idle: ReadonlySet<string> = new Set(['pending', 'executed', 'missing']);

/** What is started and not ended, as `name (state)`; null: it is not known, or not soon enough. */
export async function startedNames(io: Io): Promise<readonly string[] | null> {
  const asked = statusOf({}, io).then(
    (entries) =>
      entries?.filter(({ state }) => !idle.has(state)).map(({ name, state }) => `${name} (${state})`) ?? null,
    () => null,
  );
  return await Promise.race([asked, sleep(patienceMs, null, { ref: false })]);
}

/** The one of these names that has this part, or the word itself where none has it. Throws USAGE where several have. */
export function fullName(word: string, known: readonly string[]): string {
  if (known.includes(word)) return word;
  const found = known.filter((name) => name.includes(word)).toSorted();
  if (found.length <= 1) return found[0] ?? word;
  throw fail('USAGE', {
    message: `"${word}" is a part of ${found.length} names`,
    detail: found.join('\n'),
    hint: 'type more of the one that you mean',
  });
}
