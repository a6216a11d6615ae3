import { spawn } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, inject, it, onTestFinished, vi } from 'vitest';
import type { MigrationTest, MigrationTestError } from 'umzug-cluster/testing';
import { removeEmbedded } from '../../src/postgres/embedded/index.ts';
import { kill, until } from '../support/cli.ts';
import { createDatabase, onServer, withDatabase } from '../support/database.ts';
import { type Project, makeProject } from '../support/project.ts';
import { failures, people, reported, tested } from '../support/tested.ts';

// Some ten processes a test, one after the other.
vi.setConfig({ testTimeout: 180_000 });

describe('a test that cannot be made is refused, and says why', () => {
  const fine = `
    export const select = (db) => db('people').select('id').whereNull('slug');
    export const update = (db, rows) => db('people').whereIn('id', rows.map(({ id }) => id)).update({ slug: 's' });`;

  it.each<[string, Partial<MigrationTest>, code: string, message: RegExp]>([
    ['a file that is not there', { file: 'migrations/b.ts' }, 'USAGE', /there is no file .*b\.ts/],
    [
      'an option that is none',
      { colour: 'red' } as never,
      'USAGE',
      /unknown option "colour"; there are: file, /,
    ],
    ['a seed of no rows', { seed: { people: 7 } as never }, 'USAGE', /seed\.people must be a list of rows/],
    ['a chunk of nothing', { chunkSize: 0 }, 'USAGE', /chunkSize must be a whole number from 1/],
    [
      'a seed in wrong SQL',
      { seed: 'insert into people' },
      'USAGE',
      /a statement of the seed is refused: syntax error/,
    ],
    [
      'a seed of an unknown column',
      { seed: [people, { people: [{ nam: 'x' }] }] },
      'USAGE',
      /the seed of "people" is refused: column "nam"/,
    ],
    [
      'a seed that throws',
      {
        seed: () => {
          throw new Error('no seed');
        },
      },
      'USAGE',
      /the seed throws: no seed/,
    ],
    [
      'one file and several',
      { files: ['migrations/a.ts'] } as never,
      'USAGE',
      /give file or files, not both/,
    ],
    [
      'several files without a seed',
      { file: undefined, seed: undefined, files: ['migrations/a.ts'] } as never,
      'USAGE',
      /it needs a seed/,
    ],
    [
      'several files without a data migration',
      { file: undefined, files: [] } as never,
      'USAGE',
      /files holds no data migration/,
    ],
    ['no seed', { seed: undefined as never }, 'USAGE', /it needs a seed/],
    ['a database that is no URL', { database: 'mysql://x/y' }, 'CONFIG', /mysql/],
    [
      'a database that is away',
      { database: 'postgres://x:topsecret@127.0.0.1:1/y' },
      'DATABASE_UNAVAILABLE',
      /cannot connect to 127\.0\.0\.1:1\/y/,
    ],
  ])('%s', async (_what, test, code, message) => {
    const error = (await tested(fine, test)) as MigrationTestError;
    expect(error).toMatchObject({ name: 'MigrationTestError', code, report: null });
    expect(error.message).toMatch(message);
    expect(error.message).not.toMatch(/topsecret|\n\s+at /);
  });

  it('a schema migration, and an earlier one that fails', async () => {
    const schema = `export const up = (db) => db.raw('select 1');`;
    expect(await tested(schema)).toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/a is a schema migration/),
    });
    const { dir } = makeProject({ 'broken.ts': `export const up = (db) => db.raw('selec 1');` });
    const earlier = [path.join(dir, 'migrations/broken.ts')];
    const error = (await tested(fine, { earlier })) as MigrationTestError;
    expect(error.message).toMatch(/the earlier migration broken fails: .*syntax error at or near "selec"/);
  });

  it('a database that holds something, which is copied only when asked, and never written to', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(people);
      const refused = (await tested(fine, { seed: [], database: url })) as MigrationTestError;
      expect(refused.code).toBe('CONFIG');
      expect(refused.message).toMatch(/is not empty: it has people\n.*copyRows: true/);
      const busy = (await tested(fine, { seed: [], database: url, copyRows: true })) as MigrationTestError;
      expect(busy.message).toMatch(/cannot be copied while others are connected/);
    });
    const { url, client, name } = await createDatabase();
    await client.query(people);
    await client.end();
    const report = await reported(fine.replace("'s'", 'String(Math.random())'), {
      seed: { people: [{ name: 'one more' }] },
      database: url,
      copyRows: true,
      ignore: ['people.slug'],
    });
    expect(report.rows).toBe(22);
    expect(failures(report)).toEqual({});
    await onServer(`drop database ${name}`);
  });

  it('a role that may not create databases', async () => {
    await onServer('create role kit_without_rights login');
    try {
      const url = new URL(inject('serverUrl'));
      const password = 'p';
      await onServer(`alter role kit_without_rights password '${password}'`);
      url.username = 'kit_without_rights';
      url.password = password;
      const error = (await tested(fine, { database: url.href })) as MigrationTestError;
      expect(error.code).toBe('PERMISSION');
      expect(error.message).toMatch(/alter role … createdb/);
    } finally {
      await onServer('drop role kit_without_rights');
    }
  });
});

describe('the process of a test', () => {
  const root = path.join(import.meta.dirname, '..', '..');
  const migration = `
    export const select = (db) => db('t').select('id').where('n', 0);
    export const update = (db, rows) => db('t').whereIn('id', rows.map(({ id }) => id)).update({ n: 1 });`;

  /** A project that has the package installed, and a test for Node's own runner in it. */
  function projectWith(testFile: string, source: string): Project {
    const project = makeProject({ 'a.ts': migration });
    mkdirSync(path.join(project.dir, 'node_modules'));
    symlinkSync(root, path.join(project.dir, 'node_modules', 'umzug-cluster'));
    writeFileSync(path.join(project.dir, testFile), source);
    return project;
  }

  /** Runs Node in a project, on the server of the tests, or where nobody names one. */
  function node(
    args: readonly string[],
    { dir }: Project,
    server: string | null = inject('serverUrl'),
  ): ReturnType<typeof spawn> {
    const env = { PATH: process.env['PATH'], ...(server === null ? {} : { TEST_DATABASE_URL: server }) };
    const child = spawn(process.execPath, args, { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'] });
    onTestFinished(() => kill(child.pid ?? 0));
    return child;
  }

  const asks = (seed: string): string => `testMigration({
    file: 'migrations/a.ts',
    database: process.env.TEST_DATABASE_URL,
    seed: ${seed},
    check: async (db) => assert.equal((await db('t').where('n', 0)).length, 0),
  })`;
  const table = `'create table t (id int primary key, n int not null default 0); insert into t select generate_series(1, 9)'`;

  const formats = [
    [
      'CommonJS, on the embedded server',
      'a.test.cjs',
      `const { testMigration } = require('umzug-cluster/testing');
      const assert = require('node:assert'); const { test } = require('node:test');`,
    ],
    [
      'an ES module, on a server that it names',
      'a.test.mjs',
      `import { testMigration } from 'umzug-cluster/testing';
      import assert from 'node:assert'; import { test } from 'node:test';`,
    ],
  ] as const;

  // FAULTS_LONG=1: in both formats; else the tests that the guide shows are those in an ES module
  it.each(process.env['FAULTS_LONG'] === '1' ? formats : formats.slice(0, 1))(
    'may be that of node:test, in %s',
    async (_what, file, imports) => {
      const project = projectWith(
        file,
        `${imports}
       test('a', async () => { assert.equal((await ${asks(table)}).crashes, 2); });`,
      );
      // no server is named to this one
      const isEmbedded = file.endsWith('.cjs');
      if (isEmbedded) onTestFinished(async () => void (await removeEmbedded(project.dir)));
      const child = node(['--test', file], project, isEmbedded ? null : undefined);
      let said = '';
      child.stdout?.on('data', (data) => (said += String(data)));
      const code = await new Promise((resolve) => child.on('close', resolve));
      expect(said).toMatch(/pass 1/);
      expect(code).toBe(0);
    },
  );

  it('leaves no database behind when it is killed', async () => {
    const project = projectWith(
      'a.mjs',
      `import { testMigration } from 'umzug-cluster/testing';
       import assert from 'node:assert';
       await ${asks(`async (db) => { console.log((await db.raw('select current_database() as name')).rows[0].name); await new Promise(() => setInterval(() => {}, 1000)); }`)};`,
    );
    const child = node(['a.mjs'], project);
    const name = await new Promise<string>((resolve) => {
      child.stdout?.on('data', (data) => resolve(String(data).trim()));
    });
    const exists = async (): Promise<boolean> =>
      (await onServer(`select from pg_database where datname = '${name}'`)).rowCount === 1;
    expect(await exists()).toBe(true);
    kill(child.pid ?? 0);
    await until('the database is dropped', async () => !(await exists()));
  });
});
