import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';
import { tables } from '../support/examples.ts';

/** What the documents and the help texts show is run as it stands. */

const root = path.join(import.meta.dirname, '..', '..');
const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
const blocks = (language: string): string[] =>
  [...readme.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(
    ([, text]) => text ?? '',
  );

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

describe('the make targets', () => {
  const make = async (args: readonly string[], url: string): Promise<string> => {
    const env = { PATH: process.env['PATH'], DATABASE_URL: url, NO_COLOR: '1' };
    const { stdout } = await promisify(execFile)('make', [...args], { cwd: root, env });
    return stdout;
  };
  // rows and names stand, chunks and times differ
  const masked = (text: string): string =>
    text.replace(/\d+ chunks?, .*$/gm, 'N chunks').replace(/done in .*$/gm, 'done in N');

  it('print what the README shows', async () => {
    const [session = ''] = blocks('text');
    const commands = [...session.matchAll(/^\$ make (.*)$/gm)].map(([, target]) => target ?? '');
    expect(commands).toEqual(['migrate', 'migrate', 'down']);
    await withDatabase(async ({ url }) => {
      let printed = '';
      for (const target of commands) printed += `$ make ${target}\n${await make([target], url)}`;
      expect(masked(printed)).toBe(masked(session));
      expect(await make(['status'], url)).toMatch(/dated-to-date-given +data +pending/);
      expect(await make(['plan'], url)).toMatch(/sample +100 rows, rolled back: nothing remains/);
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
