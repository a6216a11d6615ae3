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

  it.each([
    ['knex, Kysely', ['20250101000000_a'], '20250518220404_x'],
    ['Sequelize', ['20250101000000-a', '20250102000000-b'], '20250518220404-x'],
    ['umzug', ['2025.01.01T00.00.00.a'], '2025.05.18T22.04.04.x'],
    ['umzug, with a number of its own', ['2025.01.01T00.00.00.10-a'], '2025.05.18T22.04.04.x'],
    ['node-pg-migrate', ['1700000000000_a'], '1747605844123_x'],
    ['node-pg-migrate in UTC', ['20250101000000000_a'], '20250518220404123_x'],
    ['TypeORM', ['1700000000000-CreateUsers'], '1747605844123-x'],
    ['MikroORM', ['Migration20250101000000'], 'Migration20250518220404_x'],
    ['seconds', ['1700000000_a'], '1747605844_x'],
    ['Laravel', ['2025_01_01_000000_a'], '2025_05_18_220404_x'],
    ['minutes', ['202501010000-a'], '202505182204-x'],
    ['ISO', ['20250101T000000Z-a'], '20250518T220404Z-x'],
    ['days', ['2025.01.01.a', '2025-01-01-a'], '2025.05.18.x'],
    ['numbers', ['001_a', '007_b'], '008_x'],
    ['numbers without zeros', ['1-a', '8-b'], '9-x'],
    ['Flyway', ['V1__a'], 'V2__x'],
    ['Drizzle', ['0000_a', '0001_b'], '0002_x'],
    ['a number that is no day', ['20251399_a'], '20251400_x'],
    ['knex with older files of umzug', ['2025.01.01T00.00.00.a', '20250101000000_a'], '20250518220404_x'],
    ['the same second', ['20250518220404_y'], '20250518220405_x'],
    ['a time to come', ['2099.01.01T00.00.59.a'], '2099.01.01T00.01.00.x'],
    ['a millisecond to come', ['1900000000000_a'], '1900000000001_x'],
    ['no number', ['first'], '2025.05.18T22.04.04.x'],
    ['nothing', [], '2025.05.18T22.04.04.x'],
  ])('goes on with the names that are there, and comes last: %s', (_of, existing, expected) => {
    const now = new Date('2025-05-18T22:04:04.123Z');
    expect(migrationName({ name: 'x', prefix: undefined, now, existing })).toBe(expected);
    expect(migrationName({ name: 'x', prefix: 'DATE', now, existing })).toBe('2025.05.18.x');
  });
});
