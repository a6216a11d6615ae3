import { type Dirent, readFileSync } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { fieldsOf } from '../../core/values/fields.ts';
import { stripControls } from '../../core/errors/redact.ts';
import { accessHint, fail, messageOf } from '../../errors.ts';

/** A file in the migrations folder; its name has no extension, so a build does not rename it. */
export interface MigrationFile {
  readonly name: string;
  /** Absolute. */
  readonly path: string;
}

const extension = /\.(?:[cm]?ts|[cm]?js)$/;
const ignored = /^\.|\.d\.[cm]?ts$|\.(?:test|spec)\.[cm]?[tj]s$/;

/** Most characters that the name of a migration may have. */
export const longestName = 200;

/** The migrations of a folder, or of several, in the order of their names, by code unit. Throws CONFIG, MIGRATION_FILE. */
export async function listMigrations(folders: string | readonly string[]): Promise<MigrationFile[]> {
  const found = await Promise.all([folders].flat().map(filesOf));
  const files = found.flat().sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  refuseTwins(files);
  return files;
}

async function filesOf(folder: string): Promise<MigrationFile[]> {
  const files: MigrationFile[] = [];
  const entries = await readFolder(folder);
  const root = await realpath(folder);
  const within = path.join(path.resolve(folder), path.sep);
  for (const entry of entries) {
    if (!isMigrationFile(entry.name)) continue;
    const file = `${within}${entry.name}`;
    const name = nameOfFile(entry.name);
    requireUsableName(name);
    if (!entry.isFile()) await requireFileInside(root, file);
    files.push({ name, path: file });
  }
  return files;
}

/** Whether a file of this name, in the migrations folder, is taken for a migration. */
export function isMigrationFile(entry: string): boolean {
  return extension.test(entry) && !ignored.test(entry);
}

/** The name of the migration in a file: the file's without its extension, in the one form in which names are compared. */
export function nameOfFile(entry: string): string {
  return entry.replace(extension, '').normalize('NFC');
}

/**
 * What the ledger calls the folder of a file: its path in its package, after the package's name, so that it is the same
 * on each host; outside of a package that has a name, its own name.
 */
export function folderOf(file: string): string {
  return placeOf(path.dirname(file));
}

/** The same of a folder. */
export function placeOf(folder: string): string {
  for (let at = folder; ; at = path.dirname(at)) {
    const name = nameOfPackage(path.join(at, 'package.json'));
    if (name !== null) return slashed(path.join(name, path.relative(at, folder)));
    if (at === path.dirname(at)) return slashed(path.basename(folder));
  }
}

function slashed(name: string): string {
  return name.replaceAll(path.sep, '/').normalize('NFC');
}

function nameOfPackage(file: string): string | null {
  try {
    const { name } = fieldsOf(JSON.parse(readFileSync(file, 'utf8')));
    return typeof name === 'string' && name !== '' ? name : null;
  } catch {
    return null;
  }
}

async function readFolder(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    throw fail('CONFIG', {
      message: `cannot read the migrations folder ${folder}`,
      detail: messageOf(error),
      hint:
        accessHint(error, 'read') ??
        'create it, or give another with --migrations or migrations.cluster.directory in the knexfile',
      cause: error,
    });
  }
}

function requireUsableName(name: string): void {
  // Names are shown, in a terminal too: nothing that steers it, and nothing that turns text around.
  const isPlain = /^[\w.-]+$/.test(name);
  const isUsable =
    name.length <= longestName && (isPlain || (stripControls(name) === name && !/[\t\n]/.test(name)));
  if (isUsable) return;
  throw fail('MIGRATION_FILE', {
    message: 'a migration file has an unusable name',
    detail: `at most ${longestName} characters, without control characters: ${escaped(name.slice(0, 80))}`,
    hint: 'rename the file',
  });
}

/** As JSON, in ASCII: what is wrong with it can be seen. */
function escaped(name: string): string {
  return JSON.stringify(name).replaceAll(
    /[^\u0020-\u007e]/g,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

async function requireFileInside(root: string, file: string): Promise<void> {
  const real = await realpath(file).catch((error: unknown) => {
    throw unreadable(file, error);
  });
  if (!real.startsWith(root + path.sep)) {
    throw fail('MIGRATION_FILE', {
      message: `${path.basename(file)} is a link to a place outside the migrations folder`,
      hint: 'copy the file into the folder',
    });
  }
  if ((await stat(real)).isFile()) return;
  throw fail('MIGRATION_FILE', {
    message: `${path.basename(file)} is named like a migration but is not a file`,
    hint: 'rename it, or move it out of the migrations folder',
  });
}

/** The error for a migration file that cannot be read. */
export function unreadable(file: string, error: unknown): Error {
  return fail('MIGRATION_FILE', {
    message: `cannot read ${path.basename(file)}`,
    detail: messageOf(error),
    hint:
      accessHint(error, 'read') ??
      'it is a broken link, or was removed in the meantime: restore it or remove it',
    cause: error,
  });
}

function refuseTwins(files: readonly MigrationFile[]): void {
  for (const [index, file] of files.entries()) {
    const before = files[index - 1];
    if (before?.name !== file.name) continue;
    const twins = [before, file].map((one) =>
      path.dirname(before.path) === path.dirname(file.path) ? path.basename(one.path) : one.path,
    );
    throw fail('MIGRATION_FILE', {
      message: `two files are the same migration: ${twins.join(' and ')}`,
      hint: 'a name includes neither its folder nor its extension: rename or remove one of them',
    });
  }
}
