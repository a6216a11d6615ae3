import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Database } from '../../src/migration/contract.ts';
import { loadMigration } from '../../src/migration/loader.ts';
import type { LoadedMigration } from '../../src/migration/loader.ts';

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
    ['a chunk size of 0', `${select}${update} export const options = { chunkSize: 0 };`, /from 1 to 1000000/],
    ['a missing module', "import 'lodahs'; export const up = () => 1;", /cannot find module 'lodahs'/],
    ['a throw at import', "throw new Error('boom');", /threw while it was loaded: boom/],
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
    await expect(load("JSON.parse('{x');")).rejects.toMatchObject({ message: /threw while it was loaded/ });
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
