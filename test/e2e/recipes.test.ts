import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { runInThisContext } from 'node:vm';
import knexFactory from 'knex';
import { describe, expect, it } from 'vitest';
import { type RecipeName, recipes } from '../../src/migration/create/recipes.ts';
import type { Recipe } from '../../src/migration/create/recipe.ts';
import { type Place, run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const root = path.join(import.meta.dirname, '..', '..');
const kinds = Object.keys(recipes) as RecipeName[];
const state = { IBAN_SECRET: 'not the real one' };

// FAULTS_LONG=1: also the test of a recipe without a way back is run, as the tests of the guide are anyway.
const isLong = process.env['FAULTS_LONG'] === '1';

/** Tables that the recipe's first migration expects, where its test has more. */
const before: Readonly<Partial<Record<RecipeName, string>>> = {
  'change-type': 'create table people (id int primary key, name text)',
  dedupe: 'create table people (id int primary key, email text not null)',
};
/** What cannot be undone. */
const oneWay: readonly RecipeName[] = ['purge', 'dedupe', 'reset-counters'];

function migrationsOf({ cwd }: Place): readonly string[] {
  return readdirSync(path.join(cwd, 'migrations')).toSorted();
}

async function made(place: Place, kind: RecipeName, ...more: string[]): Promise<void> {
  const create = await run(['create', '--kind', kind, '--name', kind, ...more], place);
  expect(create.code, create.stderr).toBe(0);
}

describe('create --kind', () => {
  it.each([...kinds.map((kind) => [kind, 'id'] as const), ['dedupe', 'ctid'] as const])(
    '%s writes migrations by %s that go up and come back',
    async (kind, key) => {
      const recipe: Recipe = recipes[kind];
      const about = { language: 'ts', table: recipe.table, key } as const;
      const { schema, seed, isDone } = recipe.test(about);
      await withDatabase(async ({ url, client }) => {
        await client.query(key === 'ctid' ? schema : (before[kind] ?? schema));
        const db = knexFactory({ client: 'pg', connection: url });
        const rows = runInThisContext(`(${seed})`) as Record<string, object[]>;
        for (const [table, seeded] of Object.entries(rows)) await db(table).insert(seeded);
        await db.destroy();
        const place = { cwd: makeProject({}).dir, url, env: state };
        await made(place, kind, ...(key === 'ctid' ? ['--table', recipe.table] : []));
        const files = migrationsOf(place);
        const steps = recipe.steps(about);
        expect(files.map((file) => file.slice(0, -3))).toEqual(
          steps.map(
            ({ suffix }, index) => expect.stringContaining(`${kind}-${index + 1}-${suffix}`) as string,
          ),
        );
        const rowsFile = files[steps.findLastIndex(({ isData }) => isData)] ?? '';
        const up = await run(['up', '--to', rowsFile.slice(0, -3)], place);
        expect(up.code, up.stderr).toBe(0);
        expect((await client.query(isDone)).rows).toEqual([{ done: true }]);
        const verify = await run(['verify'], place);
        expect(verify.code, verify.stderr).toBe(0);
        const rest = await run(['up'], place);
        expect(rest.code, rest.stderr).toBe(0);
        const down = await run(['down', '--to', '0'], place);
        expect(down.code, down.stderr).toBe(oneWay.includes(kind) ? 2 : 0);
      });
    },
  );

  it.each([
    ['modules', { type: 'module' }, 'js'],
    ['CommonJS', {}, 'js'],
  ])('writes recipes as %s', async (_style, manifest, extension) => {
    const { dir } = makeProject({});
    writeFileSync(path.join(dir, 'package.json'), JSON.stringify(manifest));
    const place = { cwd: dir, url: null, env: {} };
    for (const kind of kinds) await made(place, kind, '--prefix', 'NONE', '--allow-confusing-ordering');
    expect(migrationsOf(place).every((file) => file.endsWith(`.${extension}`))).toBe(true);
    const valid = await run(['validate', '--offline'], place);
    expect(valid.code, valid.stderr).toBe(0);
  });

  const tested = [
    ['copy-column', 'create table people (id int primary key)'],
    ['dedupe', 'create table people (email text not null)'],
  ] as const;

  it.each(isLong ? tested : tested.slice(0, 1))('%s writes a test that passes', async (kind, table) => {
    await withDatabase(async ({ url, client }) => {
      const { dir } = makeProject({});
      writeFileSync(path.join(dir, 'package.json'), JSON.stringify({ type: 'module' }));
      mkdirSync(path.join(dir, 'node_modules'));
      symlinkSync(root, path.join(dir, 'node_modules', 'umzug-cluster'));
      await client.query(table);
      await made({ cwd: dir, url }, kind, '--table', 'people');
      await client.query('drop table people');
      const test = promisify(execFile)(process.execPath, ['--test', `test/${kind}.test.js`], {
        cwd: dir,
        env: { ...process.env, TEST_DATABASE_URL: url, NODE_OPTIONS: '' },
      });
      await expect(test).resolves.toMatchObject({ stdout: expect.stringMatching(/pass 1\b/) as string });
    });
  });

  it('takes the table and its key from the database, and refuses one that a recipe is not for', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`create table guests (no int primary key, name text);
        create table pairs (a int, b int, primary key (a, b))`);
      const place = { cwd: makeProject({}).dir, url };
      await made(place, 'slug', '--table', 'guests');
      const text = readFileSync(path.join(place.cwd, 'migrations', migrationsOf(place)[1] ?? ''), 'utf8');
      expect(text).toContain(`db('guests').select('no', 'name')`);
      const refused = await run(['create', '--kind', 'slug', '--name', 'b', '--table', 'pairs'], place);
      expect(refused).toMatchObject({ code: 2, stdout: '' });
      expect(refused.stderr).toMatch(
        /the recipe slug is for a table with a plain name and a key of one column/,
      );
      expect(migrationsOf(place)).toHaveLength(4);
    });
  });

  it('takes a key of several columns where it can, as a partitioned table has it', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`
        create table visits (site int, id int, created_at timestamptz, note text, primary key (site, created_at, id))
          partition by range (created_at);
        create table visits_old partition of visits for values from (minvalue) to ('2025-07-01');
        create table visits_new partition of visits for values from ('2025-07-01') to (maxvalue);
        insert into visits select n % 3, n, timestamptz '2025-01-01' + n * interval '1 day', 'a' from generate_series(1, 500) as n`);
      const place = { cwd: makeProject({}).dir, url };
      await made(place, 'purge', '--table', 'visits');
      const up = await run(['up', '--chunk-size', '30'], place);
      expect(up.code, up.stderr).toBe(0);
      const { rows } = await client.query(`select (select count(*)::int from visits) as here,
        (select count(distinct id)::int from visits_archive where created_at < '2026-01-01T00:00:00Z') as old`);
      expect(rows).toEqual([{ here: 136, old: 364 }]);
      const text = readFileSync(path.join(place.cwd, 'test/purge.test.ts'), 'utf8');
      expect(text).toContain('primary key (site, created_at, id)');
    });
  });
});

describe('the page on purging', () => {
  const page = readFileSync(path.join(root, 'docs/purging.md'), 'utf8');
  const examples = [...page.matchAll(/```ts\n\/\/ migrations\/(\S+)\.ts\n([^]*?)```/g)];

  it.each(examples.map(([, name = '', text = '']) => [name, text] as const))(
    'shows what works: %s',
    async (name, text) => {
      await withDatabase(async ({ url, client }) => {
        await client.query(`
        create table events (id int, created_at timestamptz, kind text, primary key (id, created_at)) partition by range (created_at);
        create table events_old partition of events for values from (minvalue) to ('2025-07-01');
        create table events_rest partition of events default;
        create table events_archive (like events);
        insert into events select n, timestamptz '2025-01-01' + n * interval '1 day', 'a' from generate_series(1, 500) as n`);
        const place = { cwd: makeProject({ 'a.ts': text }).dir, url };
        const plan = await run(['plan'], place);
        expect(plan.stdout).toMatch(/^ {2}writes +public\.events_old: \d+ deleted$/m);
        const up = await run(['up', '--chunk-size', '30'], place);
        expect(up.code, up.stderr).toBe(0);
        const { rows } = await client.query(`select (select count(*)::int from events) as here,
        (select count(distinct id)::int from events_archive where created_at < '2026-01-01T00:00:00Z') as archived`);
        expect(rows).toEqual([{ here: 136, archived: name.endsWith('archived') ? 364 : 0 }]);
      });
    },
  );
});
