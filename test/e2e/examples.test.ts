import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

/** What the documents and the help texts show is run as it stands. */

const root = path.join(import.meta.dirname, '..', '..');
const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
const blocks = (language: string): string[] =>
  [...readme.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(
    ([, text]) => text ?? '',
  );

const tables = `
  create table properties (uuid uuid primary key default gen_random_uuid(), property_date_type text);
  insert into properties (property_date_type)
    select case when i % 4 = 0 then 'other' else 'dated' end from generate_series(1, 400) as i;
  create table people (id bigint primary key, name text, slug text, score int);
  insert into people (id, name, score) select i, 'Name ' || i, i from generate_series(1, 200) as i;`;

const types = `select property_date_type as type, count(*)::int as rows from properties group by 1 order by 1`;
const given = [
  { type: 'date-given', rows: 300 },
  { type: 'other', rows: 100 },
];

/** By a word of the example: what it leaves behind. */
const effects: Readonly<Record<string, (client: pg.Client) => Promise<void>>> = {
  'interface|type Property': async (client) => expect((await client.query(types)).rows).toEqual(given),
  'chunk.update\\(\\{ property_date_type': async (client) =>
    expect((await client.query(types)).rows).toEqual(given),
  updateRows: async (client) => {
    const { rows } = await client.query(`select count(*)::int as done from people where slug = lower(name)`);
    expect(rows).toEqual([{ done: 200 }]);
  },
};

describe('the migrations of the README', () => {
  const examples = blocks('ts');

  it.each(Object.keys(effects))('are there: %s', (word) => {
    expect(examples.filter((text) => new RegExp(word).test(text))).toHaveLength(1);
  });

  it.each(examples.map((text, index) => [index + 1, text] as const))(
    'do what they say: %i',
    async (_no, text) => {
      await withDatabase(async ({ url, client }) => {
        await client.query(tables);
        const [, check] = Object.entries(effects).find(([word]) => new RegExp(word).test(text)) ?? [];
        if (check === undefined) throw new Error('the example has no expected effect');
        const place = { cwd: makeProject({ 'a.ts': text }).dir, url };
        const up = await run(['up', '--chunk-size', '30'], place);
        expect(up.code, up.stderr).toBe(0);
        await check(client);
        // none of them has a way back
        expect((await run(['down'], place)).code).toBe(2);
      });
    },
  );
});

it('the program of the README migrates an application at its start', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(tables);
    const { dir } = makeProject({ 'a.ts': blocks('ts')[0] ?? '' });
    const [program = ''] = blocks('js');
    writeFileSync(path.join(dir, 'start.mjs'), program);
    mkdirSync(path.join(dir, 'node_modules'));
    symlinkSync(root, path.join(dir, 'node_modules', 'umzug-cluster'));
    const env = { PATH: process.env['PATH'], DATABASE_URL: url };
    await promisify(execFile)(process.execPath, ['start.mjs'], { cwd: dir, env });
    expect((await client.query(types)).rows).toEqual(given);
  });
});

describe('the command lines', () => {
  const help = (args: readonly string[]): string =>
    execFileSync(process.execPath, [path.join(root, 'dist/cli.js'), ...args, '--help'], { encoding: 'utf8' });
  const verbs = [...help([]).matchAll(/^ {2}umzug-cluster ([a-z]+) /gm)].map(([, verb]) => verb ?? '');
  const listing = new Set(['pending', 'executed']);
  const inHelp = ['', ...verbs].flatMap((verb) => {
    const examples = help(verb === '' ? [] : [verb]).split('Examples:')[1] ?? '';
    // a long line goes on in the next one
    return [
      ...examples.replace(/\n {2}(?=\S)(?!umzug)/g, ' ').matchAll(/umzug-cluster ((?:\S+ )*\S+) {2,}/g),
    ];
  });
  const inReadme = [...readme.matchAll(/`umzug-cluster ([^`]+)`/g)];
  const lines = [...new Set([...inHelp, ...inReadme].map(([, line]) => (line ?? '').trim()))].toSorted();

  it('are found', () => {
    expect(lines).toEqual(expect.arrayContaining(['up', 'down --to 0', 'status NAME --json', 'retry NAME']));
  });

  it.each(lines)('umzug-cluster %s', async (line) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(tables);
      const source = `
        export const select = (db) => db('people').select('id').where('score', '>', 0);
        export const update = (db, rows) => db('people').whereIn('id', rows.map(({ id }) => id)).update({ score: 0 });
        export const down = { select: (db) => db('people').select('id'), update };`;
      const place = { cwd: makeProject({ '1-a.ts': source }).dir, url };
      if (line.includes('--from knex')) {
        await client.query(
          `create table knex_migrations (id int, name text); insert into knex_migrations values (1, '1-a.js')`,
        );
      }
      if (line.includes('--undo'))
        expect(await run(['baseline', '--to', '1-a'], place)).toMatchObject({ code: 0 });
      if (/^(down|verify)/.test(line)) expect(await run(['up'], place)).toMatchObject({ code: 0 });
      const name = line.startsWith('create') ? 'a-name' : '1-a';
      const args = line.replace(/\bNAME\b/, name).split(' ');
      const { code, stdout, stderr } = await run(args, place);
      expect(code, stderr).toBe(0);
      if (!listing.has(line)) expect(stdout).not.toBe('');
    });
  });
});

describe('the make targets', () => {
  const make = async (args: readonly string[], url: string): Promise<string> => {
    const env = { PATH: process.env['PATH'], DATABASE_URL: url, NO_COLOR: '1' };
    const { stdout } = await promisify(execFile)('make', [...args], { cwd: root, env });
    return stdout;
  };
  // rows and names stand, chunks and times differ
  const masked = (text: string): string =>
    text.replace(/\d+ chunks?, .*$/gm, 'N chunks').replace(/done in .*$/gm, 'done in N');

  it('migrate the example, find nothing the second time, and revert its last migration', async () => {
    const example = '2025.05.18T22.04.04.dated-to-date-given';
    await withDatabase(async ({ url }) => {
      expect(masked(await make(['migrate'], url))).toBe(`2025.05.18T22.04.02.create-properties: done in N
2025.05.18T22.04.03.fill-properties: done in N
${example}: 62,000 rows in N chunks
`);
      expect(await make(['migrate'], url)).toBe('nothing is pending\n');
      expect(masked(await make(['down'], url))).toBe(`${example}: 62,000 rows in N chunks\n`);
      expect(await make(['status'], url)).toMatch(/dated-to-date-given +data +pending/);
      expect(await make(['plan'], url)).toMatch(
        /twice +rows that are done no longer match select\n +down +restores/,
      );
    });
  });

  it('write a new migration', async () => {
    const { dir } = makeProject({});
    const folder = path.join(dir, 'migrations');
    const printed = await make(
      ['create', 'name=my-change', `ARGS=--folder ${folder} --prefix NONE --skip-verify`],
      'postgres://x',
    );
    expect(printed).toContain('my-change');
    expect(existsSync(path.join(folder, 'my-change.ts'))).toBe(true);
  });
});
