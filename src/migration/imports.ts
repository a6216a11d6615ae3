import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { createHash } from 'node:crypto';
import type { FileHashes } from '../core/file-drift.ts';
import { type MigrationFile, hashFile } from './folder.ts';

/**
 * What a migration's code consists of: its own file, and the files of the project that it imports, and those that
 * they import. Packages do not belong to it, and neither does what is read under a name that is made at run time.
 */

// Of static and dynamic imports, re-exports and require; in a comment or a text it does no harm.
const specifiers = /(?:\bfrom|\bimport|\bimport\s*\(|\brequire\s*\()\s*(['"])(\.{1,2}(?:\/[^'"\n]*)?)\1/g;

const extensions = ['.ts', '.mts', '.cts', '.tsx', '.js', '.mjs', '.cjs', '.jsx', '.json'];

/** Hashes of a migration's file and its local imports. Throws MIGRATION_FILE where the file cannot be read. */
export async function hashesOfFile(file: MigrationFile): Promise<FileHashes> {
  const found = await importsOf(file.path);
  const folder = path.dirname(file.path);
  const named = [...found].map(
    ([at, sha256]) => [path.relative(folder, at).replaceAll('\\', '/'), sha256] as const,
  );
  return {
    fileSha256: await hashFile(file.path),
    imports: Object.fromEntries(named.toSorted(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/** The files that a file imports, directly or not, by absolute path with their hashes; without itself. */
export async function importsOf(file: string): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const open = [file];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const content = await readFile(at).catch(() => null);
    if (content === null) continue;
    if (at !== file) found.set(at, createHash('sha256').update(content).digest('hex'));
    if (at.endsWith('.json')) continue;
    for (const [, , specifier = ''] of content.toString('utf8').matchAll(specifiers)) {
      const target = await resolve(path.dirname(at), specifier);
      if (target !== null && target !== file && !found.has(target)) open.push(target);
    }
  }
  return found;
}

/** The file that is meant, as a loader of TypeScript finds it; null: none, or one of a package. */
async function resolve(folder: string, specifier: string): Promise<string | null> {
  const asked = path.resolve(folder, specifier);
  if (asked.split(path.sep).includes('node_modules')) return null;
  // `./x.js` may be written for x.ts.
  const source = asked.replace(/\.([cm]?)js(x?)$/, '.$1ts$2');
  const candidates = [
    asked,
    source,
    ...extensions.map((extension) => asked + extension),
    ...extensions.map((extension) => path.join(asked, `index${extension}`)),
  ];
  for (const candidate of candidates) {
    const found = await stat(candidate).catch(() => null);
    if (found?.isFile() === true) return candidate;
  }
  return null;
}
