import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import type { Jiti, JitiOptions } from 'jiti';

/**
 * Loads TypeScript and JavaScript files of the user's project. What was translated is kept on disk, since the
 * translator takes 200 ms: beside the project's packages or in the user's own cache folder, but never in the
 * system's folder for temporary files, where another user could put code of theirs.
 */
export function typescriptLoader(folder: string, options: JitiOptions): Jiti {
  // Required, not imported: see `postgres/pg`.
  const { createJiti } = createRequire(import.meta.url)('jiti') as typeof import('jiti');
  return createJiti(import.meta.url, { fsCache: cacheFolder(folder) ?? false, ...options });
}

function cacheFolder(folder: string): string | null {
  for (let at = path.resolve(folder); ; at = path.dirname(at)) {
    const packages = path.join(at, 'node_modules');
    if (existsSync(packages)) return path.join(packages, '.cache', 'umzug-cluster');
    if (at === path.dirname(at)) break;
  }
  const home = process.env['XDG_CACHE_HOME'] ?? homeCache();
  return home === null ? null : path.join(home, 'umzug-cluster');
}

function homeCache(): string | null {
  try {
    const home = os.homedir();
    return path.isAbsolute(home) && home !== path.parse(home).root ? path.join(home, '.cache') : null;
  } catch {
    return null;
  }
}
