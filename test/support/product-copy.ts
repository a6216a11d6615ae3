import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** A change to a built file of the product: `from` must stand there once. */
export interface Patch {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** A read of a chunk that locks no rows. */
export const withoutRowLocks: readonly Patch[] = [
  { file: 'migration/chunk/queries.js', from: ' for no key update of ${quote(alias)}', to: '' },
];

const root = path.join(import.meta.dirname, '..', '..');

/** The built files with these changes, by name. Throws where a change does not fit. */
export function patched(patches: readonly Patch[]): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const { file, from, to } of patches) {
    const parts = (texts.get(file) ?? readFileSync(path.join(root, 'dist', file), 'utf8')).split(from);
    if (parts.length !== 2) throw new Error(`${file} has no single "${from}": fix the patch`);
    texts.set(file, parts.join(to));
  }
  return texts;
}

/** A copy of the built product with these changes. Returns its command-line file; `remove` deletes the copy. */
export function copyProduct(patches: readonly Patch[]): {
  readonly cli: string;
  readonly remove: () => void;
} {
  const texts = patched(patches);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'umzug-cluster-copy-'));
  // what only compilers read is half of it
  const filter = (file: string): boolean => !file.endsWith('.d.ts');
  cpSync(path.join(root, 'dist'), path.join(folder, 'dist'), { recursive: true, filter });
  cpSync(path.join(root, 'package.json'), path.join(folder, 'package.json'));
  symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
  for (const [file, text] of texts) writeFileSync(path.join(folder, 'dist', file), text);
  return {
    cli: path.join(folder, 'dist', 'cli.js'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
