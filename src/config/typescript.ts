import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import type { Jiti, JitiOptions } from 'jiti';
import { decoratedFields } from './decorated-fields.ts';

/**
 * Loads TypeScript and JavaScript files of the user's project, with `paths` and `baseUrl` of the tsconfig.json above
 * `folder`. What was translated is kept on disk, since the translator takes 200 ms: beside the project's packages or
 * in the user's own cache folder, but never in the system's folder for temporary files, where another user could put
 * code of theirs.
 */
export function typescriptLoader(folder: string, options: JitiOptions): Jiti {
  // Required, not imported: see `postgres/pg`.
  const require = createRequire(import.meta.url);
  const { createJiti } = require('jiti') as typeof import('jiti');
  const { version } = require('../../package.json') as { version: string };
  const caches = cacheFolder(folder);
  if (caches !== null) tidyOnce(caches);
  // The translator's own key is the file's text: what another version or plugin has made of it must not be taken.
  const cache = caches === null ? null : path.join(caches, `${version}-${hashOf(String(decoratedFields))}`);
  const make = (tsconfigPaths: string | false): Jiti =>
    createJiti(import.meta.url, {
      fsCache: cache ?? false,
      transformOptions: { babel: { plugins: [decoratedFields] } },
      tsconfigPaths,
      ...options,
    });
  try {
    return make(tsconfigAbove(folder));
  } catch {
    // It cannot be read, or extends a package that is not installed in production: an import that needs its paths is
    // not found, and named; all others do without it.
    return make(false);
  }
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

function tsconfigAbove(folder: string): string | false {
  for (let at = path.resolve(folder); ; at = path.dirname(at)) {
    const file = path.join(at, 'tsconfig.json');
    if (existsSync(file)) return file;
    if (at === path.dirname(at)) return false;
  }
}

// A file for each path: where each release is deployed to a folder of its own, they would grow forever. Some 20 MB;
// a project may have a thousand migrations.
const mostCached = 5_000;
const keptCached = 2_500;

const tidied = new Set<string>();

function tidyOnce(cache: string): void {
  if (tidied.has(cache)) return;
  tidied.add(cache);
  // A cache that cannot be read or written is none of the command's business.
  tidyCache(cache).catch(() => undefined);
}

/** Deletes the translations that were used least lately, where there are more than `mostCached` of them. */
async function tidyCache(cache: string): Promise<void> {
  const entries = await readdir(cache, { recursive: true, withFileTypes: true });
  const found = entries.filter((entry) => entry.isFile());
  if (found.length <= mostCached) return;
  const files = await Promise.all(
    found.map(async ({ name, parentPath }) => {
      const file = path.join(parentPath, name);
      const { atimeMs, mtimeMs } = await stat(file);
      return { file, usedMs: Math.max(atimeMs, mtimeMs) };
    }),
  );
  const old = files.toSorted((one, other) => other.usedMs - one.usedMs).slice(keptCached);
  await Promise.all(old.map(({ file }) => rm(file, { force: true })));
}

function cacheFolder(folder: string): string | null {
  for (let at = path.resolve(folder); ; at = path.dirname(at)) {
    const packages = path.join(at, 'node_modules');
    if (existsSync(packages)) return path.join(packages, '.cache', 'umzug-cluster');
    if (at === path.dirname(at)) break;
  }
  const given = process.env['XDG_CACHE_HOME'] ?? '';
  const home = path.isAbsolute(given) ? given : homeCache();
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
