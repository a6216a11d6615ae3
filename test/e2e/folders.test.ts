import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { type Project, makeProject } from '../support/project.ts';

const table = `
  create table people (id bigint primary key, n int not null default 0);
  insert into people (id) select generate_series(1, 300)`;
const schemaStep = `export const up = (db) => db.raw('select 1');`;

describe('two folders on one ledger', () => {
  const data = `
    import { setBased } from 'umzug-cluster';
    export const select = (db) => db('people');
    export const update = setBased((chunk, db) =>
      process.env.BREAKS ? db.raw('select nowhere') : chunk.update({ n: 1 }));`;

  /** A package `shop` with two migrations in `migrations` and these in `more`. */
  function twoFolders(more: Readonly<Record<string, string>>): Project {
    const project = makeProject({ '1-a.ts': schemaStep, '2-b.ts': data });
    writeFileSync(path.join(project.dir, 'package.json'), '{ "name": "shop" }');
    mkdirSync(path.join(project.dir, 'more'));
    for (const [name, source] of Object.entries(more)) {
      writeFileSync(path.join(project.dir, 'more', name), source);
    }
    return project;
  }

  it('do not miss the files of each other; each misses its own', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const project = twoFolders({ '0-x.ts': schemaStep, '3-y.ts': schemaStep, '4-z.ts': data });
      const place = { cwd: project.dir, url };
      const more = ['--migrations', 'more'] as const;
      expect((await run(['up'], place)).code).toBe(0);
      expect((await run(['up', ...more], { ...place, env: { BREAKS: '1' } })).code).toBe(1);
      expect(await run(['up', '--strict'], place)).toMatchObject({ code: 0, stderr: '' });
      expect((await run(['validate', '--strict'], place)).code).toBe(0);
      expect(await run(['up', '--strict', ...more], place)).toMatchObject({ code: 0 });
      for (const folder of [[], more]) {
        const { stdout } = await run(['status', '--json', ...folder], place);
        const { migrations } = JSON.parse(stdout) as { migrations: { name: string; state: string }[] };
        expect(migrations.map(({ name, state }) => `${name} ${state}`)).toEqual(
          folder.length === 0
            ? ['1-a executed', '2-b executed']
            : ['0-x executed', '3-y executed', '4-z executed'],
        );
      }
      rmSync(path.join(project.dir, 'migrations/2-b.ts'));
      expect((await run(['up', ...more], place)).stderr).toBe('');
      const own = await run(['up'], place);
      expect(own).toMatchObject({ code: 0, stderr: expect.stringMatching(/executed but missing: 2-b/) });
      expect((await run(['up', '--strict'], place)).code).toBe(3);
    });
  });

  it('say of a file of the same name where it was executed', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const project = twoFolders({ '1-a.ts': `${schemaStep} // another` });
      const place = { cwd: project.dir, url };
      expect((await run(['baseline', '--to', '2-b'], place)).code).toBe(0);
      expect((await run(['up', '--migrations', 'more'], place)).stderr).toMatch(
        /changed after it was executed: 1-a \(1-a\.ts, executed from shop\/migrations\)/,
      );
    });
  });
});
