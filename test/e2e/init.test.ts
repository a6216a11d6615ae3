import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';

/** A folder with these files, as a project that knows nothing of migrations. */
function makeFolder(files: Readonly<Record<string, string>>): string {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'init-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
    writeFileSync(path.join(dir, name), text);
  }
  return dir;
}

const read = (dir: string, name: string): string => readFileSync(path.join(dir, name), 'utf8');
const production = { NODE_ENV: 'production', UMZUG_CLUSTER_LOG_FORMAT: 'pretty' };

describe('init', () => {
  it.each<[string, Readonly<Record<string, string>>, string, RegExp]>([
    ['CommonJS', { 'package.json': '{"name":"x"}' }, 'knexfile.js', /^module\.exports = \{/],
    ['modules', { 'package.json': '{"type":"module"}' }, 'knexfile.js', /^export default config;$/m],
    [
      'TypeScript',
      { 'package.json': '{}', 'tsconfig.json': '{}' },
      'knexfile.ts',
      /^export default config;$/m,
    ],
  ])(
    'sets up a project in %s, in which create, validate and up work at once',
    async (_what, files, knexfile, form) => {
      await withDatabase(async ({ url }) => {
        const cwd = makeFolder(files);
        const first = await run(['init'], { cwd, url: null, env: production });
        expect(first.code, first.stderr).toBe(0);
        expect(first.stdout).toBe(
          [
            `${knexfile}: written`,
            'migrations/: made',
            'package.json: scripts migrate, migrate:plan, migrate:down, migrate:status, migrate:create added',
            '.gitignore: .postgres/ added',
            '',
          ].join('\n'),
        );
        expect(first.stderr).toBe(
          'now:\n  npm install umzug-cluster\n  umzug-cluster create --name my-change\n  umzug-cluster up\n',
        );
        expect(read(cwd, knexfile)).toMatch(form);
        const place = { cwd, url };
        const step = ['create', '--name', 'a', '--kind', 'schema'];
        expect((await run(step, place)).code).toBe(0);
        expect(await run(['validate'], place)).toMatchObject({
          code: 0,
          stdout: expect.stringMatching(/^1 migration: valid/) as string,
        });
        const up = await run(['up'], { ...place, env: production });
        expect(up.stderr).toMatch(/relation "my_table" does not exist/);
        const again = await run(['init', '--json'], { cwd, url: null, env: production });
        expect(JSON.parse(again.stdout)).toMatchObject({
          done: [],
          left: [{}, {}, {}, {}].map(() => expect.any(String) as string),
        });
      });
    },
  );

  it('overwrites nothing: own scripts, targets, knexfile, ignored files and formatting stay', async () => {
    const files = {
      'package.json':
        '{\r\n\t"name": "x",\r\n\t"scripts": {\r\n\t\t"migrate": "knex migrate:latest"\r\n\t}\r\n}',
      Makefile: 'all:\n\techo all',
      '.gitignore': 'node_modules',
      'knexfile.js': `module.exports = { client: 'pg', migrations: { directory: './db' } };`,
      'db/1.js': `exports.up = (knex) => knex.raw('select 1');`,
    };
    const cwd = makeFolder(files);
    const { code, stdout } = await run(['init'], { cwd, url: null });
    expect(code).toBe(0);
    for (const kept of ['knexfile.js', 'db/1.js'] as const) expect(read(cwd, kept)).toBe(files[kept]);
    expect(existsSync(path.join(cwd, 'migrations'))).toBe(false);
    expect(read(cwd, 'package.json')).toMatch(
      /^\{\r\n\t"name": "x",\r\n\t"scripts": \{\r\n\t\t"migrate": "knex migrate:latest",\r\n\t\t"migrate:plan"/,
    );
    expect(read(cwd, 'package.json')).not.toMatch(/\n$/);
    expect(read(cwd, 'Makefile')).toBe(
      `${files.Makefile}\n\n.PHONY: migrate\nmigrate:\n\tnpx umzug-cluster up $(ARGS)\n`,
    );
    expect(read(cwd, '.gitignore')).toBe('node_modules\n.postgres/\n');
    expect(stdout).toMatch(/^unchanged: knexfile\.js: settings go to migrations\.cluster$/m);
    expect(stdout).toMatch(/^unchanged: db\/: 1 file; if another tool has run them.*baseline --from knex/m);
    expect(stdout).toMatch(
      /^unchanged: package\.json: script "migrate" exists; this tool's: umzug-cluster up$/m,
    );
    const before = statSync(path.join(cwd, 'package.json')).mtimeMs;
    const again = await run(['init'], { cwd, url: null });
    expect(again.stdout).toMatch(/^unchanged: Makefile: target migrate exists/m);
    expect(statSync(path.join(cwd, 'package.json')).mtimeMs).toBe(before);
  });

  it.each([
    ['package.json', '{"name":', /package\.json cannot be read/],
    ['knexfile.js', 'module.exports = {', /knexfile\.js/],
  ])('writes nothing where %s is broken', async (name, text, message) => {
    const cwd = makeFolder({ [name]: text });
    const { code, stderr } = await run(['init'], { cwd, url: null });
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    for (const other of ['migrations', '.gitignore']) expect(existsSync(path.join(cwd, other))).toBe(false);
  });
});
