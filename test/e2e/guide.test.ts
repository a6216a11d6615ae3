import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import type pg from 'pg';
import { describe, expect, inject, it, vi } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { type Project, makeProject } from '../support/project.ts';

/** What the guide for authors shows is run as it stands: migrations, the test, and every mistake. */

const root = path.join(import.meta.dirname, '..', '..');
const guide = readFileSync(path.join(root, 'docs/writing-migrations.md'), 'utf8');

/** Blocks of a language that name their file in the first line, by that name. */
function files(language: string): Readonly<Record<string, string>> {
  const found = guide.matchAll(
    new RegExp(`\`\`\`${language}\\n// (?:migrations|test)/(\\S+)\\n([\\s\\S]*?)\`\`\``, 'g'),
  );
  return Object.fromEntries([...found].map(([, name = '', text = '']) => [name, text]));
}

const tables = `
  create table people (id bigint primary key, name text not null, tags text, score int, score_version int,
    created_at timestamptz default now());
  insert into people select n, 'Ann Other ' || n, case when n % 2 = 0 then 'a,t' || n % 5 end, n, 1
    from generate_series(1, 200) as n;
  create table tags (tag text primary key);
  create table person_tags (person_id bigint references people, tag text references tags, primary key (person_id, tag));
  create table scores (person_id bigint primary key references people, score int);
  create table orders (id int primary key, person int, person_name text);
  insert into orders select n, n % 9 + 1 from generate_series(1, 50) as n;
  create table order_lines (id int primary key, order_id int references orders, amount int not null, share float8);
  insert into order_lines select n, n % 40 + 1, n from generate_series(1, 200) as n;
  create index on order_lines (order_id);
  create index on people (name);
  create table names (name text primary key, people int, best int);
  create table log (at timestamptz); insert into log values (now())`;

const state = `
  select (select md5(string_agg(people::text, '|' order by id)) from people) as people,
         (select count(*)::int from person_tags) as person_tags`;

/** By migration: a query that must be true once it is done. */
const effects: Readonly<Record<string, string>> = {
  'slug-expand': `select exists (select from pg_attribute where attrelid = 'people'::regclass and attname = 'slug')`,
  'slug-backfill': `select bool_and(slug is not distinct from 'ann-other-' || id) from people`,
  'slug-contract': `select attnotnull and not exists (select from pg_constraint where conname = 'people_slug_given')
    from pg_attribute where attrelid = 'people'::regclass and attname = 'slug'`,
  'slug-index': `select to_regclass('people_slug') is not null`,
  'score-threefold': `select bool_and(score is not distinct from id * 3) from people`,
  'places-found': 'select count(*) = 200 and max(place) = 200 from people_places',
  places: 'select bool_and(score = 201 - id and score_version = 3) from people',
  'scores-apart': `select count(*) = 200 and bool_and(score = person_id * 3) from scores`,
  'order-names': `select bool_and(person_name = 'Ann Other ' || person) from orders`,
  'name-scores': `select count(*) = 200 and sum(people) = 200 and sum(best) = (select sum(score) from people) from names`,
  'line-shares': `select bool_and(sum between 0.999 and 1.001) from (select sum(share) from order_lines group by order_id) as s`,
  'tags-to-rows': `select count(*) = 200 and count(distinct person_id) = 100 from person_tags`,
};

async function answer(client: pg.Client, sql: string): Promise<unknown> {
  const { rows } = await client.query<Record<string, unknown>>(sql);
  return Object.values(rows[0] ?? {})[0];
}

it('the migrations of the guide go up one by one, do what they say, and come back', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(tables);
    const before = (await client.query(state)).rows;
    const migrations = files('ts');
    const place = { cwd: makeProject(migrations).dir, url };
    for (const [file, text] of Object.entries(migrations)) {
      const up = await run(['up', '--step', '1', '--chunk-size', '30'], place);
      expect(up.code, up.stderr).toBe(0);
      const name = file.replace(/^[\dT.]+|\.ts$/g, '');
      expect([name, await answer(client, effects[name] ?? 'select null')]).toEqual([name, true]);
      expect(text).toContain('down');
    }
    expect(Object.keys(migrations)).toHaveLength(Object.keys(effects).length);
    const verify = await run(['verify'], place);
    expect(verify.code, verify.stderr).toBe(0);
    const down = await run(['down', '--to', '0', '--chunk-size', '30'], place);
    expect(down.code, down.stderr).toBe(0);
    expect((await client.query(state)).rows).toEqual(before);
  });
});

// Some ten processes a test, one after the other.
vi.setConfig({ testTimeout: 180_000 });

describe('the tests of the guide', () => {
  const tests = Object.entries(files('js'));
  const [[first, text] = ['', '']] = tests;

  function projectOf(source: string, name = first): Project {
    const project = makeProject(files('ts'));
    for (const folder of ['test', 'node_modules']) mkdirSync(path.join(project.dir, folder));
    symlinkSync(root, path.join(project.dir, 'node_modules', 'umzug-cluster'));
    writeFileSync(path.join(project.dir, 'package.json'), '{ "type": "module" }');
    writeFileSync(path.join(project.dir, 'test', name), source);
    return project;
  }

  const tried = async ({ dir }: Project): Promise<string> => {
    const env = { PATH: process.env['PATH'], TEST_DATABASE_URL: inject('serverUrl') };
    const options = { cwd: dir, env };
    const done = promisify(execFile)(
      process.execPath,
      ['--test', '--test-reporter', 'spec', 'test'],
      options,
    );
    return await done.then(
      ({ stdout }) => stdout,
      (error: { stdout: string }) => error.stdout,
    );
  };

  it.each(tests)('%s passes', { timeout: 240_000 }, async (name, source) => {
    expect(await tried(projectOf(source, name))).toMatch(/pass 1\n/);
  });

  it('fails with the row that the guide adds, as it shows', async () => {
    const row = /With one more row in the seed, `(.*?)`/.exec(guide)?.[1] ?? '';
    const printed = await tried(
      projectOf(text.replace('seed: { people }', `seed: { people: [...people, ${row}] }`)),
    );
    const shown = /```text\n([\s\S]*?)```/.exec(guide)?.[1] ?? 'nothing is shown';
    const lines = (of: string): string[] =>
      of
        .trim()
        .split('\n')
        .map((line) => line.trim());
    expect(lines(printed).join('\n')).toContain(lines(shown).join('\n'));
  });
});

describe('the mistakes of the guide are answered as it says', () => {
  const [selects = '', updates = ''] = guide.split('## Common mistakes')[1]?.split('In `update`') ?? [];
  const rowsOf = (table: string): [code: string, answer: string][] =>
    [...table.matchAll(/^\| `(.+?)` +\| ([^|`]+?) *\|$/gm)].map(([, code = '', says = '']) => [code, says]);

  const refused = async (source: string, says: string): Promise<void> => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${tables}; alter table people add slug text`);
      const before = (await client.query(state)).rows;
      const { code, stderr } = await run(['up'], { cwd: makeProject({ 'a.ts': source }).dir, url });
      expect(stderr).toContain(says);
      expect([1, 2]).toContain(code);
      expect((await client.query(state)).rows).toEqual(before);
    });
  };
  const update = `export const update = (db, rows) => db('people').whereIn('id', rows.map(({ id }) => id)).update({ score: 0 });`;

  it.each(rowsOf(selects))('select = (db) => %s', async (code, says) => {
    await refused(`export const select = (db) => ${code}; ${update}`, says);
  });

  it.each(rowsOf(updates))('update = async (db, rows) => { %s }', async (code, says) => {
    const head = `import { updateRows } from 'umzug-cluster'; export const select = (db) => db('people').select('id');`;
    await refused(`${head} export const update = async (db, rows) => { ${code} };`, says);
  });

  it('are all read', () => {
    expect(rowsOf(selects)).toHaveLength(4);
    expect(rowsOf(updates)).toHaveLength(10);
  });
});
