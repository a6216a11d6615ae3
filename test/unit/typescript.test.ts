import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
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
  return await typescriptLoader(folder, { moduleCache: false }).import(file);
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

  it('is not taken from another version of the product, nor of its own translation', async () => {
    const cache = path.join(folder, 'node_modules/.cache/umzug-cluster');
    mkdirSync(cache, { recursive: true });
    await load();
    const [own = ''] = readdirSync(cache);
    expect(own).toMatch(/^\d+\.\d+\.\d+.*-[\da-f]{8}$/);
    const [file = ''] = readdirSync(path.join(cache, own));
    const made = path.join(cache, own, file);
    const spoilt = readFileSync(made, 'utf8').replace('= 1', '= 2');
    rmSync(path.join(cache, own), { recursive: true });
    // As earlier versions kept it, and as another one keeps it.
    for (const place of ['.', own.replace(/^\d+/, '99')]) {
      mkdirSync(path.join(cache, place), { recursive: true });
      writeFileSync(path.join(cache, place, file), spoilt);
    }
    expect(await load()).toMatchObject({ a: 1 });
    writeFileSync(made, spoilt);
    expect(await load()).toMatchObject({ a: 2 });
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
    const filesIn = (): readonly string[] =>
      readdirSync(cache, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ name }) => name);
    await until('it is tidied', () => filesIn().length <= 2_502);
    const left = filesIn();
    expect(left).toContain('5100.mjs');
    expect(left).not.toContain('2600.mjs');
    expect(
      left.filter((name) => name.startsWith('typescript-')),
      'what has just been translated',
    ).toHaveLength(1);
  });
});
