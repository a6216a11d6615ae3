import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { typescriptLoader } from '../../src/config/typescript.ts';
import { until } from '../support/cli.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'typescript-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

async function load(): Promise<unknown> {
  const file = path.join(folder, 'a.ts');
  writeFileSync(file, 'export const a: number = 1;');
  return await typescriptLoader(folder, {}).import(file);
}

describe('what was translated', () => {
  it('is kept in the cache folder of the user, where the project has no packages', async () => {
    vi.stubEnv('XDG_CACHE_HOME', path.join(folder, 'cache'));
    await load();
    expect(readdirSync(path.join(folder, 'cache/umzug-cluster'))).toHaveLength(1);
  });

  it('is kept nowhere in the working directory, where the variable is empty or no absolute path', async () => {
    const before = readdirSync('.');
    vi.stubEnv('HOME', folder);
    for (const place of ['', 'cache']) {
      vi.stubEnv('XDG_CACHE_HOME', place);
      await load();
    }
    expect(readdirSync('.')).toEqual(before);
    expect(readdirSync(path.join(folder, '.cache/umzug-cluster'))).toHaveLength(1);
  });

  it('does not grow for ever: what was used least lately is deleted', async () => {
    const cache = path.join(folder, 'node_modules/.cache/umzug-cluster');
    mkdirSync(cache, { recursive: true });
    for (let no = 1; no <= 5_100; no += 1) {
      const file = path.join(cache, `${String(no).padStart(4, '0')}.mjs`);
      writeFileSync(file, '');
      utimesSync(file, no, no);
    }
    await load();
    await until('it is tidied', () => readdirSync(cache).length <= 2_502);
    const left = readdirSync(cache);
    expect(left).toContain('5100.mjs');
    expect(left).not.toContain('2600.mjs');
    expect(
      left.filter((name) => name.startsWith('typescript-')),
      'what has just been translated',
    ).toHaveLength(1);
  });
});
