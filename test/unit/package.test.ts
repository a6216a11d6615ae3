import { execFileSync, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { rolldown } from 'rolldown';
import { describe, expect, it, onTestFinished } from 'vitest';

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

  it('names one version of each dependency that runs, and few of them', () => {
    // Two copies of the types of Node would contradict each other: those that an application has are taken.
    const running = Object.entries(manifest.dependencies).filter(([name]) => !name.startsWith('@types/'));
    for (const [name, version] of running) {
      expect(`${name} ${version}`).toMatch(/^\S+ \d+\.\d+\.\d+$/);
    }
    expect(running.length).toBeLessThanOrEqual(11);
  });

  it('declares itself for every target, and depends on whatever its declarations name', () => {
    const declarations = readdirSync(path.join(root, 'dist'), { recursive: true, encoding: 'utf8' }).filter(
      (file) => /\.d\.c?ts$/.test(file),
    );
    // TypeScript 5 takes no private name without a target of 2015 or newer.
    expect(declarations.filter((file) => read(`dist/${file}`).includes('#private'))).toEqual([]);
    const named = declarations.flatMap((file) =>
      [...read(`dist/${file}`).matchAll(/(?:from|import\() ?['"]([^.'"][^'"\n]*)['"]/g)].map(
        ([, name = '']) => name,
      ),
    );
    const needed = named.map((name) => (name.startsWith('node:') ? '@types/node' : name));
    const isTyped = (name: string): boolean =>
      name in manifest.dependencies && (name !== 'pg' || '@types/pg' in manifest.dependencies);
    expect(needed).toContain('knex');
    expect([...new Set(needed)].filter((name) => !isTyped(name))).toEqual([]);
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

/** A folder of somebody who has installed the package. */
function installed(files: Readonly<Record<string, string>>): string {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'umzug-cluster-installed-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  mkdirSync(path.join(dir, 'node_modules'));
  symlinkSync(root, path.join(dir, 'node_modules', 'umzug-cluster'));
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(dir, name), text);
  return dir;
}

const migration = `
  import { setBased, updateRows, createMigrator, UmzugClusterError } from 'umzug-cluster';
  import type { Down, Migrator, Select, StatusReport, Update } from 'umzug-cluster';
  import { testMigration } from 'umzug-cluster/testing';
  export const select: Select<{ id: number }> = (db) => db('people').select('id');
  export const update: Update<{ id: number }> = (db, rows) =>
    updateRows(db, 'people', rows.map(({ id }) => ({ id, done: 1 })), { key: ['id'], set: ['done'] });
  export const down: Down = { select, update: setBased((chunk) => chunk.update({ done: 0 })) as Update };
  export const status = async (migrator: Migrator): Promise<StatusReport> => await migrator.status();
  export const codeOf = (error: unknown): string | null => error instanceof UmzugClusterError ? error.code : null;
  export const start = [createMigrator, testMigration];
  // @ts-expect-error -- without its types it would be anything
  export const wrong: Select = 5;`;

describe('an application that uses the package', () => {
  it.each([
    ['node16', 'node16', 'commonjs'],
    ['preserve', 'bundler', 'commonjs'],
  ])(
    'finds its types with the module settings %s and %s, in a package of type %s',
    (module, moduleResolution, type) => {
      const compilerOptions = {
        module,
        moduleResolution,
        strict: true,
        noEmit: true,
        skipLibCheck: false,
        types: [],
      };
      const dir = installed({
        'package.json': JSON.stringify({ type }),
        'tsconfig.json': JSON.stringify({ compilerOptions, files: ['a.ts'] }),
        'a.ts': migration,
      });
      const tsc = path.join(root, 'node_modules', '.bin', 'tsc');
      expect(spawnSync(tsc, ['-p', dir], { encoding: 'utf8' })).toMatchObject({ stdout: '', status: 0 });
    },
  );

  it('requires what migrations import where CommonJS cannot load ES modules, as under jest', () => {
    const script = `
      const { setBased, updateRows, createMigrator, UmzugClusterError } = require('umzug-cluster');
      const { testMigration } = require('umzug-cluster/testing');
      console.log([setBased, updateRows, createMigrator, testMigration, UmzugClusterError].map((one) => typeof one).join());
      createMigrator({ env: 'none', databaseUrl: 'postgres://h/d' }).then((migrator) => migrator.close());
      updateRows(null, 't', [], { key: ['id'], set: ['id'] }).catch((error) => console.log(error instanceof UmzugClusterError));`;
    const flags = ['--no-experimental-require-module', '-e', script];
    const printed = execFileSync(process.execPath, flags, { cwd: installed({}), encoding: 'utf8' });
    expect(printed).toBe('function,function,function,function,function\ntrue\n');
  });

  it.each(['esm', 'cjs'] as const)('is told to keep the package out of its bundle (%s)', async (format) => {
    const dir = installed({
      'app.mjs': `import { createMigrator } from 'umzug-cluster';
        createMigrator({ databaseUrl: 'postgres://h/d' }).catch(({ message, hint }) => console.log(message, hint));`,
    });
    const bundle = await rolldown({ input: path.join(dir, 'app.mjs'), platform: 'node', logLevel: 'silent' });
    const entryFileNames = format === 'esm' ? 'out.mjs' : 'out.cjs';
    await bundle.write({ dir: path.join(dir, 'out'), format, entryFileNames });
    await bundle.close();
    const printed = execFileSync(process.execPath, [path.join(dir, 'out', entryFileNames)], {
      encoding: 'utf8',
    });
    expect(printed).toMatch(/was bundled into the application .*external: \["umzug-cluster"\]/);
  });
});
