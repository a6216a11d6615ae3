import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadMigration } from '../../src/migration/loader.ts';
import { migrationName, renderMigration } from '../../src/migration/template.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'template-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('a new migration file', () => {
  it.each(['data', 'set', 'schema'] as const)('of kind %s loads as it is written', async (kind) => {
    const file = path.join(folder, 'x.ts');
    await writeFile(file, renderMigration(kind, 'x'));
    expect(await loadMigration({ name: 'x', path: file })).toMatchObject({
      kind: kind === 'schema' ? 'schema' : 'data',
    });
  });

  it('type-checks', async () => {
    const root = path.resolve(import.meta.dirname, '../..');
    await writeFile(path.join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
    for (const kind of ['data', 'set', 'schema'] as const) {
      await writeFile(path.join(folder, `${kind}.ts`), renderMigration(kind, kind));
    }
    const config = {
      extends: path.join(root, 'tsconfig.json'),
      compilerOptions: {
        paths: { 'umzug-cluster': [path.join(root, 'src/index.ts')] },
        typeRoots: [path.join(root, 'node_modules/@types')],
      },
      include: [path.join(folder, '*.ts')],
      exclude: [],
    };
    await writeFile(path.join(folder, 'tsconfig.json'), JSON.stringify(config));
    const tsc = path.join(root, 'node_modules/.bin/tsc');
    const { stdout } = await promisify(execFile)(tsc, ['-p', folder, '--listFiles']);
    expect(stdout).toContain(path.join(folder, 'schema.ts'));
  });

  it('is named as umzug names it', () => {
    const now = new Date('2025-05-18T22:04:04.123Z');
    expect(migrationName({ name: 'a b', prefix: 'TIMESTAMP', now })).toBe('2025.05.18T22.04.04.a-b');
    expect(migrationName({ name: 'x', prefix: 'DATE', now })).toBe('2025.05.18.x');
    expect(migrationName({ name: 'x', prefix: 'NONE', now })).toBe('x');
    for (const name of ['', '../x', 'a/b', 'a\\b', '..', ' ', 'x.ts', 'x.test', 'x.d', 'x'.repeat(201)]) {
      expect(() => migrationName({ name, prefix: 'NONE', now })).toThrow(/cannot be the name/);
    }
  });
});
