import { fileURLToPath } from 'node:url';
import type { Jiti } from 'jiti';
import { typescriptLoader } from '../../config/typescript.ts';

const made = new Map<string, Jiti>();

/** What loads the migrations of a folder, and says which files they import. */
export function migrationLoader(folder: string): Jiti {
  const known = made.get(folder);
  if (known !== undefined) return known;
  const index = import.meta.url.endsWith('.ts') ? '../../index.ts' : '../../index.js';
  const loader = typescriptLoader(folder, {
    interopDefault: true,
    // Migrations get the copy of the package that runs them, installed beside them or not.
    alias: { 'umzug-cluster': fileURLToPath(new URL(index, import.meta.url)) },
  });
  made.set(folder, loader);
  return loader;
}
