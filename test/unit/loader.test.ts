import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listMigrations } from '../../src/migration/folder.ts';
import { loadMigration } from '../../src/migration/loader.ts';
import { migrationName, renderMigration } from '../../src/migration/template.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'loader-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function load(text: string, file = '0007_x.ts'): Promise<unknown> {
  const place = path.join(folder, file);
  await writeFile(place, text);
  return await loadMigration({ name: file.replace(/\.[^.]+$/, ''), path: place });
}

const select = "export const select = (db) => db('t');";
const update = "export const update = (db) => db('t').update({ a: 1 });";

describe('a folder of migrations', () => {
  it('is listed by name, without extension, and without what is no migration', async () => {
    for (const file of ['2-b.ts', '10-a.js', 'README.md', 'x.d.ts', '.hidden.ts', 'y.test.ts', 'z.js.map']) {
      await writeFile(path.join(folder, file), '');
    }
    expect((await listMigrations(folder)).map(({ name }) => name)).toEqual(['10-a', '2-b']);
  });

  it('refuses two files of one name, a link out of it, and a folder that is not there', async () => {
    await writeFile(path.join(folder, 'a.ts'), '');
    await symlink('/etc/hostname', path.join(folder, 'b.ts'));
    await expect(listMigrations(folder)).rejects.toMatchObject({
      code: 'MIGRATION_FILE',
      message: /b\.ts is a link/,
    });
    await rm(path.join(folder, 'b.ts'));
    await writeFile(path.join(folder, 'a.js'), '');
    await expect(listMigrations(folder)).rejects.toMatchObject({ message: /a\.js and a\.ts/ });
    await expect(listMigrations(path.join(folder, 'none'))).rejects.toMatchObject({ code: 'CONFIG' });
  });
});

describe('a migration file', () => {
  it('is a data migration by select and update, with down and options', async () => {
    const text = `${select}${update} export const down = { select, update }; export const options = { key: ['a'] };`;
    expect(await load(text)).toMatchObject({
      kind: 'data',
      name: '0007_x',
      setBased: false,
      down: { setBased: false },
      options: { key: ['a'] },
    });
  });

  it('is set-based by setBased, from whichever copy of the package', async () => {
    const text = `import { setBased } from 'umzug-cluster'; ${select}
      export const update = setBased((chunk) => chunk.update({ a: 1 }));`;
    expect(await load(text)).toMatchObject({ kind: 'data', setBased: true });
  });

  it('is a schema migration by up, in a transaction unless it asks for none', async () => {
    expect(await load('export const up = () => 1;')).toMatchObject({
      kind: 'schema',
      transaction: true,
      down: null,
    });
    const text = 'export const up = () => 1; export const options = { transaction: false };';
    expect(await load(text, '0008_x.ts')).toMatchObject({ transaction: false });
  });

  it('may use TypeScript that needs a transform, and a default export', async () => {
    const text = `enum Kind { A } class Named { constructor(private name: string) {} }
      export default { select: (db: unknown) => [db, Kind.A, Named], update: () => 1 };`;
    expect(await load(text)).toMatchObject({ kind: 'data' });
  });

  it.each([
    ['nothing', '', /must export select\(db\) and update/],
    ['an empty default export', 'export default {};', /must export select\(db\) and update/],
    ['no update', select, /does not export update/],
    ['no select', update, /does not export select/],
    ['a select that is no function', `export const select = 1; ${update}`, /select is not a function/],
    ['up and select', `${select}${update} export const up = () => 1;`, /both up and select/],
    [
      'an unknown option',
      `${select}${update} export const options = { chunkSzie: 1 };`,
      /did you mean "chunkSize"/,
    ],
    ['a chunk size of 0', `${select}${update} export const options = { chunkSize: 0 };`, /from 1 to 1000000/],
    ['a missing module', "import 'lodahs'; export const up = () => 1;", /cannot find module 'lodahs'/],
    ['a throw at import', "throw new Error('boom');", /threw while it was loaded: boom/],
    ['a syntax error', 'export const select = (;', /0007_x\.ts:1:\d+ syntax error/],
  ])('with %s is refused', async (_what, text, message) => {
    await expect(load(text)).rejects.toMatchObject({ code: 'MIGRATION_FILE', message });
  });

  it('names the export that was probably meant', async () => {
    const text = `${select} export const udpate = () => 1;`;
    await expect(load(text)).rejects.toMatchObject({ hint: /"udpate": did you mean "update"/ });
  });
});

describe('a new migration file', () => {
  it.each(['data', 'set', 'schema'] as const)('of kind %s loads as it is written', async (kind) => {
    expect(await load(renderMigration(kind, 'x'))).toMatchObject({
      kind: kind === 'schema' ? 'schema' : 'data',
    });
  });

  it('is named as umzug names it', () => {
    const now = new Date('2025-05-18T22:04:04.123Z');
    expect(migrationName({ name: 'a b', prefix: 'TIMESTAMP', now })).toBe('2025.05.18T22.04.04.a-b');
    expect(migrationName({ name: 'x', prefix: 'DATE', now })).toBe('2025.05.18.x');
    expect(migrationName({ name: 'x', prefix: 'NONE', now })).toBe('x');
    for (const name of ['', '../x', 'a/b', '..', ' ']) {
      expect(() => migrationName({ name, prefix: 'NONE', now })).toThrow(/cannot be the name/);
    }
  });
});
