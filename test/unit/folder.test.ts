import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listMigrations } from '../../src/migration/file/folder.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'folder-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

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

  it('may be several, whose files are one list by name; the same name in two of them is refused', async () => {
    const folders = ['first', 'second'].map((name) => path.join(folder, name));
    const [first = '', second = ''] = folders;
    for (const at of folders) await mkdir(at);
    for (const file of [path.join(first, '1-a.ts'), path.join(second, '2-b.ts'), path.join(first, '3-c.ts')])
      await writeFile(file, '');
    expect((await listMigrations(folders)).map(({ name }) => name)).toEqual(['1-a', '2-b', '3-c']);
    await writeFile(path.join(second, '3-c.js'), '');
    await expect(listMigrations(folders)).rejects.toMatchObject({
      message: `two files are the same migration: ${first}/3-c.ts and ${second}/3-c.js`,
    });
  });

  it('gives absolute paths for a relative folder', async () => {
    await writeFile(path.join(folder, 'a.ts'), '');
    const relative = path.relative(process.cwd(), folder);
    expect(await listMigrations(relative)).toEqual([{ name: 'a', path: path.join(folder, 'a.ts') }]);
  });

  it('may itself be reached by a link, and hold links to its own files', async () => {
    await mkdir(path.join(folder, 'real'));
    await writeFile(path.join(folder, 'real', 'a.ts'), '');
    await symlink('a.ts', path.join(folder, 'real', 'b.ts'));
    await symlink('real', path.join(folder, 'link'));
    expect(await listMigrations(path.join(folder, 'link'))).toHaveLength(2);
  });

  it.each([
    ['a link to nothing', 'cannot read a.ts', (file: string) => symlink('/nowhere', file)],
    [
      'a folder named like a file',
      'a.ts is named like a migration but is not a file',
      (f: string) => mkdir(f),
    ],
    ['a name too long', 'a migration file has an unusable name', () => named('x'.repeat(201))],
    ['a control character', 'a migration file has an unusable name', () => named('a\u0007')],
  ])('refuses %s', async (_what, message, make) => {
    await make(path.join(folder, 'a.ts'));
    await expect(listMigrations(folder)).rejects.toMatchObject({ code: 'MIGRATION_FILE', message });
  });

  it('names a migration in one Unicode form, however a system writes its file', async () => {
    await writeFile(path.join(folder, 'u\u0308ber.ts'), '');
    expect((await listMigrations(folder)).map(({ name }) => name)).toEqual(['\u00fcber']);
  });
});

function named(name: string): Promise<void> {
  return writeFile(path.join(folder, `${name}.ts`), '');
}
