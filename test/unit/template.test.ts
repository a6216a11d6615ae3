import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadMigration } from '../../src/migration/file/loader.ts';
import type { DescribedTable } from '../../src/migration/table/described-table.ts';
import type { Language } from '../../src/migration/create/language.ts';
import { migrationName } from '../../src/migration/create/new-name.ts';
import { renderMigration } from '../../src/migration/create/template.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'template-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const kinds = ['data', 'set', 'schema'] as const;
const languages: readonly Language[] = ['ts', 'esm', 'cjs'];

/** With names that are no identifiers, and every kind of type. */
const odd: DescribedTable = {
  written: 'odd.my table',
  columns: [
    { name: 'tenant id', type: 'number', isNullable: false, isGenerated: false },
    { name: `it's`, type: 'string', isNullable: false, isGenerated: false },
    { name: 'made', type: 'number', isNullable: true, isGenerated: true },
    { name: 'mood"s', type: `'sad' | 'it\\'s ok'`, isNullable: true, isGenerated: false },
    { name: 'data', type: 'unknown', isNullable: true, isGenerated: false },
    { name: 'seen', type: 'Date[]', isNullable: true, isGenerated: false },
  ],
  key: ['tenant id', `it's`],
  isKeyNamed: true,
};
const strict: DescribedTable = { ...odd, columns: odd.columns.slice(0, 2), isKeyNamed: false };

describe('a new migration file', () => {
  it.each(kinds.flatMap((kind) => languages.map((language) => [kind, language] as const)))(
    'of kind %s in %s loads as it is written',
    async (kind, language) => {
      const extension = { ts: 'ts', esm: 'mjs', cjs: 'cjs' }[language];
      for (const [index, table] of [null, odd, strict].entries()) {
        const file = path.join(folder, `x${index}.${extension}`);
        await writeFile(file, renderMigration({ kind, name: 'x', language, table }));
        expect(await loadMigration({ name: 'x', path: file })).toMatchObject({
          kind: kind === 'schema' ? 'schema' : 'data',
        });
      }
    },
  );

  it('type-checks', async () => {
    const root = path.resolve(import.meta.dirname, '../..');
    await writeFile(path.join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
    for (const kind of kinds) {
      for (const [index, table] of [null, odd, strict].entries()) {
        const text = renderMigration({ kind, name: kind, language: 'ts', table });
        await writeFile(path.join(folder, `${kind}${index}.ts`), text);
      }
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
    expect(stdout).toContain(path.join(folder, 'schema2.ts'));
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
