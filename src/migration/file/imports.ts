import { hash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, realpathSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import path from 'node:path';
import { setImmediate as letOthersRun } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Jiti } from 'jiti';
import type { FileHashes } from '../../core/values/file-drift.ts';
import { type MigrationFile, unreadable } from './folder.ts';
import { mayImport } from './plain-text.ts';
import { migrationLoader } from './translator.ts';

/**
 * What a migration's code consists of: its own file, and the files of the project that it imports, and those that
 * they import. The loader that runs them says which they are, so what it finds by `imports` of package.json, by the
 * paths of tsconfig.json or in a package of the workspace belongs to it, and what is there for its types alone does
 * not. Nor do installed packages, and what is read under a name that is made at run time.
 */

// Static and dynamic imports, re-exports and require; in a comment or a text it does no harm.
const inJavaScript = /(?:\bfrom|\bimport|\bimport\s*\(|\brequire\s*\()\s*(['"`])([^'"`\n]+)\1/g;
// Of TypeScript what is left when it has been translated: types are gone.
const inTranslation = /\b(?:jitiImport|require|import)\s*\(\s*(['"`])([^'"`\n]+)\1/g;

const packages = `${path.sep}node_modules${path.sep}`;

/** Hashes of a migration's file and its local imports. Throws MIGRATION_FILE where the file cannot be read. */
export async function hashesOfFile(file: MigrationFile): Promise<FileHashes> {
  const own = contentOf(file.path);
  const folder = await Promise.resolve(realpathSync(path.dirname(file.path)));
  const found = importsOf(realpathSync(file.path), migrationLoader(path.dirname(file.path)));
  const named = [...found].map(
    ([at, sha256]) => [path.relative(folder, at).replaceAll('\\', '/'), sha256] as const,
  );
  return {
    fileSha256: hashOf(own),
    imports: Object.fromEntries(named.toSorted(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/**
 * The files of these that are not as they were recorded, or of which a recorded import is not. What they import now
 * is not asked: with each of its files as it was, it is the same. Leaves the process to others in between.
 */
export async function notAsRecorded<T extends FileHashes>(
  files: readonly (readonly [MigrationFile, T])[],
): Promise<readonly (readonly [MigrationFile, T])[]> {
  const known = new Map<string, string | null>();
  const hashAt = (at: string): string | null => {
    if (!known.has(at)) known.set(at, existingHash(at));
    return known.get(at) ?? null;
  };
  const folders = new Map<string, string>();
  const realFolder = (at: string): string => {
    const real = folders.get(at) ?? realpathSync(at);
    folders.set(at, real);
    return real;
  };
  const others: (readonly [MigrationFile, T])[] = [];
  for (const [index, [file, recorded]] of files.entries()) {
    if (index % filesAtOnce === 0) await letOthersRun();
    const folder = realFolder(path.dirname(file.path));
    const isSame =
      hashOf(quicklyRead(file.path)) === recorded.fileSha256 &&
      Object.entries(recorded.imports).every(
        ([name, sha256]) => hashAt(path.resolve(folder, name)) === sha256,
      );
    if (!isSame) others.push([file, recorded]);
  }
  return others;
}

// A few milliseconds.
const filesAtOnce = 100;

const shared = Buffer.allocUnsafe(64 * 1_024);

/** As `contentOf`, in a buffer that the next call overwrites: of thousands of files, half of the time and no garbage. */
function quicklyRead(file: string): Buffer {
  let descriptor: number | null = null;
  try {
    descriptor = openSync(file, 'r');
    const size = readSync(descriptor, shared, 0, shared.length, 0);
    return size < shared.length ? shared.subarray(0, size) : contentOf(file);
  } catch (error) {
    throw unreadable(file, error);
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}

function existingHash(file: string): string | null {
  try {
    return hashOf(readFileSync(file));
  } catch {
    return null;
  }
}

/** What is in the file of a migration. Throws MIGRATION_FILE where it cannot be read. */
export function contentOf(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw unreadable(file, error);
  }
}

/** SHA-256 of a file's text, in hex: without its BOM and with line ends as on Linux, since git changes both. */
function hashOf(content: Buffer): string {
  const isBare = !content.includes('\r\n') && !content.subarray(0, 3).equals(bom);
  const text = isBare
    ? content
    : content
        .toString('latin1')
        .replace(/^\xef\xbb\xbf/, '')
        .replaceAll('\r\n', '\n');
  return hash('sha256', typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
}

const bom = Buffer.from([0xef, 0xbb, 0xbf]);

/** The files that a file imports, directly or not, by absolute path with their hashes; without itself. */
function importsOf(file: string, loader: Jiti): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const open = [file];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    let content: Buffer;
    try {
      content = readFileSync(at);
    } catch {
      continue;
    }
    if (at !== file) found.set(at, hashOf(content));
    for (const specifier of specifiersIn(at, content.toString('utf8'), loader)) {
      const target = resolve(loader, at, specifier);
      if (target !== null && target !== file && !found.has(target)) open.push(target);
    }
  }
  return found;
}

function specifiersIn(filename: string, source: string, loader: Jiti): readonly string[] {
  if (filename.endsWith('.json')) return [];
  const isTypeScript = /\.[cm]?tsx?$/.test(filename);
  if (!mayImport(source)) return [];
  // As the loader asks for it: it is translated once.
  const code = isTypeScript ? loader.transform({ filename, source, ts: true, async: true }) : source;
  const found = code.matchAll(isTypeScript ? inTranslation : inJavaScript);
  return [...new Set([...found].map(([, , specifier = '']) => unescaped(specifier)))];
}

/** The translator writes `\xFC` for ü. */
function unescaped(text: string): string {
  return text.replaceAll(/\\(?:x([\da-f]{2})|u([\da-f]{4}))/gi, (_all, short?: string, long?: string) =>
    String.fromCharCode(Number.parseInt(short ?? long ?? '', 16)),
  );
}

/** The file that is meant; null: none, or one of a package. */
function resolve(loader: Jiti, from: string, specifier: string): string | null {
  if (isBuiltin(specifier) || /^umzug-cluster(?:\/|$)/.test(specifier)) return null;
  try {
    const found = String(loader.esmResolve(specifier, { parentURL: from, try: true }) ?? '');
    const target = found.startsWith('file:') ? fileURLToPath(found) : found;
    return path.isAbsolute(target) && !target.includes(packages) ? target : null;
  } catch {
    return null;
  }
}
