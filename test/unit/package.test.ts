import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const root = path.join(import.meta.dirname, '..', '..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');

interface Manifest {
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
}

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly integrity?: string; readonly resolved?: string; readonly dev?: boolean }>
  >;
}

const manifest = JSON.parse(read('package.json')) as Manifest;

describe('the package', () => {
  it('runs nothing where it is installed', () => {
    const atInstallation = ['preinstall', 'install', 'postinstall', 'prepare', 'preprepare', 'postprepare'];
    expect(Object.keys(manifest.scripts).filter((name) => atInstallation.includes(name))).toEqual([]);
    expect(readdirSync(root)).not.toContain('binding.gyp');
  });

  it('names one version of each dependency, and few of them', () => {
    for (const [name, version] of Object.entries(manifest.dependencies)) {
      expect(`${name} ${version}`).toMatch(/^\S+ \d+\.\d+\.\d+$/);
    }
    expect(Object.keys(manifest.dependencies).length).toBeLessThanOrEqual(8);
  });

  it('has a lock file with a checksum of every package, and no address of a registry', () => {
    const { packages } = JSON.parse(read('package-lock.json')) as Lock;
    const installed = Object.entries(packages).filter(([place]) => place.startsWith('node_modules/'));
    expect(installed.length).toBeGreaterThan(50);
    const isWrong = ({ integrity = '', resolved }: (typeof installed)[number][1]): boolean =>
      !integrity.startsWith('sha512-') || resolved !== undefined;
    expect(installed.filter(([, one]) => isWrong(one)).map(([place]) => place)).toEqual([]);
  });
});
