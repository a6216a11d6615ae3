import { createHash } from 'node:crypto';
import { readFile, readdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { fail, messageOf } from '../errors.ts';

/** A file in the migrations folder; its name has no extension, so a build does not rename it. */
export interface MigrationFile {
  readonly name: string;
  /** Absolute. */
  readonly path: string;
}

const extension = /\.(?:[cm]?ts|[cm]?js)$/;
const ignored = /^\.|\.d\.[cm]?ts$|\.(?:test|spec)\.[cm]?[tj]s$/;
const longestName = 200;

/** The migrations of a folder in the order of their names, by code unit. Throws CONFIG, MIGRATION_FILE. */
export async function listMigrations(folder: string): Promise<MigrationFile[]> {
  const files: MigrationFile[] = [];
  const root = await realpath(folder).catch(() => folder);
  for (const entry of await readFolder(folder)) {
    if (ignored.test(entry) || !extension.test(entry)) continue;
    const file = path.join(folder, entry);
    const name = entry.replace(extension, '');
    requireUsableName(name);
    await requireInside(root, file);
    files.push({ name, path: file });
  }
  files.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  refuseTwins(files);
  return files;
}

/** SHA-256 of a file's content, in hex. */
export async function hashFile(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
}

async function readFolder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    throw fail('CONFIG', {
      message: `cannot read the migrations folder ${folder}`,
      detail: messageOf(error),
      hint: 'create it, or name another one with --migrations or migrations.directory in the knexfile',
    });
  }
}

function requireUsableName(name: string): void {
  // oxlint-disable-next-line no-control-regex
  const isUsable = name.length <= longestName && !/[\u0000-\u001f\u007f]/.test(name);
  if (isUsable) return;
  throw fail('MIGRATION_FILE', {
    message: 'the name of a migration file is not usable',
    detail: `at most ${longestName} characters, no control characters: ${JSON.stringify(name.slice(0, 80))}`,
    hint: 'rename the file',
  });
}

async function requireInside(root: string, file: string): Promise<void> {
  const real = await realpath(file).catch(() => file);
  if (real.startsWith(root + path.sep)) return;
  throw fail('MIGRATION_FILE', {
    message: `${path.basename(file)} is a link out of the migrations folder`,
    hint: 'copy the file into the folder',
  });
}

function refuseTwins(files: readonly MigrationFile[]): void {
  for (const [index, file] of files.entries()) {
    const before = files[index - 1];
    if (before?.name !== file.name) continue;
    throw fail('MIGRATION_FILE', {
      message: `two files are the same migration: ${path.basename(before.path)} and ${path.basename(file.path)}`,
      hint: 'the extension does not belong to the name: remove one of them',
    });
  }
}
