import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Database } from '../../src/migration/contract/contract.ts';
import { changedFiles } from '../../src/core/values/file-drift.ts';
import { hashesOfFile } from '../../src/migration/file/imports.ts';
import { loadMigration } from '../../src/migration/file/loader.ts';
import type { LoadedMigration } from '../../src/migration/file/loader.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'loader-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function load(text: string, file = '0007_x.ts'): Promise<LoadedMigration> {
  const place = path.join(folder, file);
  await writeFile(place, text);
  return await loadMigration({ name: file.replace(/\.[^.]+$/, ''), path: place });
}

/** Writes files of a project in the temporary folder, by path in it. */
async function write(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await writeFile(path.join(folder, name), text);
  }
}

/** What the migration `db/a.ts` in it returns from `up`, and the files that belong to its hash. */
async function loadInProject(): Promise<[unknown, readonly string[]]> {
  const migration = await loadMigration({ name: 'a', path: path.join(folder, 'db/a.ts') });
  if (migration.kind !== 'schema') throw new Error('not a schema migration');
  return [await migration.up(db), Object.keys(migration.hashes.imports)];
}

// The steps under test do not touch the database.
const db = undefined as unknown as Database;
const select = "export const select = (db) => db('t');";
const update = "export const update = (db) => db('t').update({ a: 1 });";

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
    const whole = `import { setBased } from 'umzug-cluster'; ${select}
      const update = setBased((chunk) => chunk.update({ a: 1 }));
      export default { select, update, down: { select, update } };`;
    expect(await load(whole.replace('export const', 'const'))).toMatchObject({
      setBased: true,
      down: { setBased: true },
    });
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
    [
      'an option that every object has',
      `${select}${update} export const options = { constructor: 1 };`,
      /unknown option "constructor"/,
    ],
    ['a chunk size of 0', `${select}${update} export const options = { chunkSize: 0 };`, /from 1 to 1000000/],
    ['a missing module', "import 'lodahs'; export const up = () => 1;", /cannot find module 'lodahs'/],
    ['a throw at import', "throw new Error('boom');", /threw while loading: boom/],
    ['a syntax error', 'export const select = (;', /0007_x\.ts:1:\d+ syntax error/],
  ])('with %s is refused', async (_what, text, message) => {
    await expect(load(text)).rejects.toMatchObject({ code: 'MIGRATION_FILE', message });
  });

  it.each([
    [
      'a slip in update',
      `${select} export const udpate = () => 1;`,
      'hint',
      /"udpate": did you mean "update"/,
    ],
    ['two slips', 'export const slect = 1, updat = 2;', 'hint', /"select" by "slect"\?.*"update" by "updat"/],
    [
      'a slip in options',
      `${select}${update} export const option = {};`,
      'message',
      /did you mean "options"/,
    ],
    ['a slip in down', 'export const up = () => 1, donw = () => 1;', 'message', /did you mean "down"/],
    ['half a down', `${select}${update} export const down = { select };`, 'message', /export down\.update/],
    ['a helper', 'export const slug = 1;', 'hint', /move it to a subfolder.*\/lib\/0007_x\.ts$/],
    ['a function as down', `${select}${update} export const down = () => 1;`, 'message', /down .*an object/],
  ])('names what was probably meant by %s', async (_what, text, part, expected) => {
    await expect(load(text)).rejects.toMatchObject({ code: 'MIGRATION_FILE', [part]: expected });
  });

  it('is not blamed for a syntax error in what it imports', async () => {
    await writeFile(path.join(folder, 'helper.ts'), 'export const a = 1;\nexport const b = = 2;\n');
    const text = "import { a } from './helper.ts'; export const up = () => a;";
    await expect(load(text)).rejects.toMatchObject({
      message: /^helper\.ts:2:\d+, imported by 0007_x\.ts syntax error: Unexpected token$/,
    });
  });

  it('that throws a SyntaxError of its own is not said to have one', async () => {
    await expect(load("JSON.parse('{x');")).rejects.toMatchObject({ message: /threw while loading/ });
  });

  it('that was edited meanwhile is loaded anew, with its new hash', async () => {
    const before = await load('export const up = () => 1;');
    const after = await load('export const up = () => 2;');
    if (before.kind !== 'schema' || after.kind !== 'schema') throw new Error('not schema migrations');
    expect([before.up(db), after.up(db)]).toEqual([1, 2]);
    expect(after.hashes.fileSha256).not.toBe(before.hashes.fileSha256);
  });

  it('is loaded anew, with new hashes, where a file that it imports was edited', async () => {
    const text = "import { a } from './helper.js'; export const up = () => a;";
    const helper = (value: number): Promise<void> =>
      writeFile(path.join(folder, 'helper.ts'), `import './deep'; export const a = ${value};`);
    await writeFile(path.join(folder, 'deep.ts'), 'export {};');
    await helper(1);
    const before = await load(text);
    await helper(2);
    const after = await load(text);
    if (before.kind !== 'schema' || after.kind !== 'schema') throw new Error('not schema migrations');
    expect([before.up(db), after.up(db)]).toEqual([1, 2]);
    expect(Object.keys(after.hashes.imports)).toEqual(['deep.ts', 'helper.ts']);
    expect(after.hashes.fileSha256).toBe(before.hashes.fileSha256);
    expect(after.hashes.imports['deep.ts']).toBe(before.hashes.imports['deep.ts']);
    expect(after.hashes.imports['helper.ts']).not.toBe(before.hashes.imports['helper.ts']);
  });

  it('that never loads is given up', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const refused = expect(load('await new Promise(() => undefined);')).rejects.toMatchObject({
        code: 'MIGRATION_FILE',
        message: '0007_x.ts was not loaded within 30 s',
      });
      await vi.waitFor(() => expect(vi.getTimerCount()).toBe(1));
      vi.runAllTimers();
      await refused;
    } finally {
      vi.useRealTimers();
    }
  });

  it('that is gone is named', async () => {
    const gone = { name: 'gone', path: path.join(folder, 'gone.ts') };
    await expect(loadMigration(gone)).rejects.toMatchObject({
      code: 'MIGRATION_FILE',
      message: 'cannot read gone.ts',
    });
  });
});

describe('the files of a migration', () => {
  const value = (text: string): string => `import { a } from '${text}'; export const up = () => a;`;
  const one = 'export const a = 1;';

  it.each([
    ['imports of package.json', { 'package.json': '{"imports":{"#lib/*":"./lib/*.ts"}}' }, '#lib/one'],
    [
      'paths of tsconfig.json, which may extend another',
      {
        'tsconfig.json': '{"extends":"./base.json" /* a comment */}',
        'base.json': '{"compilerOptions":{"paths":{"@/*":["./lib/*"]}}}',
      },
      '@/one',
    ],
    ['baseUrl of tsconfig.json', { 'tsconfig.json': '{"compilerOptions":{"baseUrl":"."}}' }, 'lib/one'],
    ['an absolute path', {}, 'ABSOLUTE/lib/one.ts'],
  ])('are those that it imports by %s', async (_what, files, specifier) => {
    await write({ ...files, 'lib/one.ts': one, 'db/a.ts': value(specifier.replace('ABSOLUTE', folder)) });
    expect(await loadInProject()).toEqual([1, ['../lib/one.ts']]);
  });

  it('are those of a package of the workspace, but not of one that is installed', async () => {
    await write({
      'packages/shared/package.json': '{"name":"@shop/shared","main":"src/index.ts"}',
      'packages/shared/src/index.ts': "export * from './one';",
      'packages/shared/src/one.ts': one,
      'node_modules/other/index.js': 'exports.b = 2;',
      'db/a.ts': `import 'other'; ${value('@shop/shared')}`,
    });
    await mkdir(path.join(folder, 'node_modules/@shop'));
    await symlink('../../packages/shared', path.join(folder, 'node_modules/@shop/shared'));
    expect(await loadInProject()).toEqual([
      1,
      ['../packages/shared/src/index.ts', '../packages/shared/src/one.ts'],
    ]);
  });

  it('are not those that it imports for their types alone', async () => {
    await write({
      'db/model.ts': 'export interface Person { id: number } export class Row { id = 1 }',
      'lib/one.ts': `import type { Row } from '../db/model'; ${one} export type { Row };`,
      'db/a.ts': `
        import type { Person } from './model';
        import { type Row } from './model';
        import { Row as Used } from './model';
        export type { Person } from './model';
        const row = null as unknown as Used | Row | import('./model').Person;
        // import { Person } from './model';
        ${value('../lib/one')}`,
    });
    expect(await loadInProject()).toEqual([1, ['../lib/one.ts']]);
  });

  it('need no tsconfig.json that can be read, unless an import needs its paths', async () => {
    await write({
      'tsconfig.json': '{"extends":"@tsconfig/none"}',
      'lib/one.ts': one,
      'db/a.ts': value('../lib/one'),
    });
    expect(await loadInProject()).toEqual([1, ['../lib/one.ts']]);
    await write({ 'db/b.ts': value('@/one') });
    await expect(loadMigration({ name: 'b', path: path.join(folder, 'db/b.ts') })).rejects.toMatchObject({
      message: "b.ts: cannot find module '@/one'",
    });
  });

  it('have one hash, whatever line ends, BOM, Unicode form or extension a checkout gives them', async () => {
    const file = { name: 'a', path: path.join(folder, 'db/a.ts') };
    await write({ 'lib/u\u0308.ts': `${one}\n`, 'db/a.ts': `${value('../lib/u\u0308')}\n` });
    const linux = await hashesOfFile(file);
    const bytes = createHash('sha256').update(`${value('../lib/u\u0308')}\n`);
    expect(linux.fileSha256).toBe(bytes.digest('hex'));
    await write({ 'db/a.ts': `\ufeff${value('../lib/u\u0308')}\r\n` });
    expect(await hashesOfFile(file)).toEqual(linux);
    await rm(path.join(folder, 'lib/u\u0308.ts'));
    await write({ 'lib/\u00fc.js': `${one}\r\n` });
    const other = { ...linux, imports: { '../lib/\u00fc.js': Object.values(linux.imports)[0] ?? '' } };
    expect(changedFiles(linux, other)).toEqual([]);
    await write({ 'lib/u\u0308.ts': `${one} // other\n` });
    expect(changedFiles(linux, await hashesOfFile(file))).toMatchObject([{ path: '../lib/u\u0308.ts' }]);
  });
});

describe('a class with decorated fields', () => {
  it('loads, its decorators see each field with its type, and it can be used', async () => {
    await write({
      'db/a.ts': `
        const seen: unknown[] = [];
        (Reflect as any).metadata = (_key: string, type: unknown) => (_on: object, name: string) => { seen.push([name, type]); };
        // As an ORM does: the value is behind an accessor on the prototype.
        const Column = () => (on: object, name: string): void =>
          void Object.defineProperty(on, name, { get() { return this.values?.[name]; }, set(value) { (this.values ??= {})[name] = value; } });
        const Entity = (name: string) => (on: Function): void => { (on as any).table = name; };
        @Entity('people')
        class Person {
          values?: Record<string, unknown>;
          declare plain: string;
          @Column() id!: number;
          @Column() declare name: string;
          @Column() age?: number;
          @Column() active: boolean = true;
          constructor(readonly given: string) {}
        }
        export const up = () => {
          const person = Object.assign(new Person('x'), { id: 7 });
          return [(Person as any).table, person.values, person.given, seen.filter(([name]: any) => name).map(([name, type]: any) => name + ' ' + type.name)];
        };`,
    });
    expect(await loadInProject()).toEqual([
      ['people', { active: true, id: 7 }, 'x', ['id Number', 'name String', 'age Number', 'active Boolean']],
      [],
    ]);
  });
});
