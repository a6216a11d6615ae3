import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { groupMembers, killGroup, rowsDone, run, until } from '../support/cli.ts';
import { runInProcess } from '../support/in-process.ts';
import { createCounters, makeProject, rowsMigration } from '../support/project.ts';
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
  it.each<[string, Readonly<Record<string, string>>, string, RegExp, string]>([
    ['CommonJS', { 'package.json': '{"name":"x"}' }, 'knexfile.js', /^module\.exports = \{/, 'npm, CommonJS'],
    [
      'modules',
      { 'package.json': '{"type":"module"}', 'pnpm-lock.yaml': '' },
      'knexfile.js',
      /^export default config;$/m,
      'pnpm, ES modules',
    ],
    [
      'TypeScript',
      { 'package.json': '{"scripts":{"test":"node --test"}}', 'tsconfig.json': '{}' },
      'knexfile.ts',
      /^export default config;$/m,
      'npm, TypeScript, CommonJS, tests with node:test',
    ],
  ])(
    'sets up a project in %s, in which create, validate and up work at once',
    async (_what, files, knexfile, form, found) => {
      await withDatabase(async ({ url }) => {
        const cwd = makeFolder(files);
        const first = await run(['init'], { cwd, url: null, env: production });
        expect(first.code, first.stderr).toBe(0);
        expect(first.stdout).toBe(
          [
            `found: ${found}`,
            `${knexfile}: written`,
            'migrations/: created',
            'package.json: scripts migrate, migrate:plan, migrate:down, migrate:status, migrate:create added',
            '.gitignore: .postgres/ added',
            '',
          ].join('\n'),
        );
        expect(first.stderr).toBe(
          `now:\n  ${found.startsWith('pnpm') ? 'pnpm add' : 'npm install'} umzug-cluster\n  umzug-cluster create --name my-change\n  umzug-cluster up\n`,
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
        '{\r\n\t"name": "x",\r\n\t"scripts": {\r\n\t\t"migrate": "knex migrate:latest"\r\n\t},\r\n\t"dependencies": {\r\n\t\t"knex": "3"\r\n\t}\r\n}',
      Makefile: 'all:\n\techo all',
      '.gitignore': 'node_modules',
      'knexfile.js': `module.exports = { client: 'pg', migrations: { directory: './db' } };`,
      'db/1.js': `exports.up = (knex) => knex.raw('select 1');`,
    };
    const cwd = makeFolder(files);
    const { code, stdout, stderr } = await run(['init'], { cwd, url: null });
    expect(code).toBe(0);
    expect(stderr).toMatch(/umzug-cluster baseline --from knex\n.*umzug-cluster create --name my-change\n$/);
    for (const kept of ['knexfile.js', 'db/1.js'] as const) expect(read(cwd, kept)).toBe(files[kept]);
    expect(existsSync(path.join(cwd, 'migrations'))).toBe(false);
    expect(read(cwd, 'package.json')).toMatch(
      /^\{\r\n\t"name": "x",\r\n\t"scripts": \{\r\n\t\t"migrate": "knex migrate:latest",\r\n\t\t"migrate-data": "exec umzug-cluster up",\r\n\t\t"migrate-data:plan"/,
    );
    expect(read(cwd, 'package.json')).not.toMatch(/\n$/);
    expect(read(cwd, 'Makefile')).toBe(
      `${files.Makefile}\n\n.PHONY: migrate\nmigrate:\n\tnode_modules/.bin/umzug-cluster up $(ARGS)\n`,
    );
    expect(read(cwd, '.gitignore')).toBe('node_modules\n.postgres/\n');
    expect(stdout).toMatch(/^unchanged: knexfile\.js: settings go to migrations\.cluster$/m);
    expect(stdout).toMatch(/^unchanged: db\/: 1 file; if another tool has run them.*baseline --from knex/m);
    expect(stdout).toMatch(/^found: npm, CommonJS, knex$/m);
    expect(stdout).toMatch(/^obsolete once .*: script "migrate" \(knex migrate:latest\)$/m);
    const before = statSync(path.join(cwd, 'package.json')).mtimeMs;
    const again = await run(['init'], { cwd, url: null });
    expect(again.stdout).toMatch(/^unchanged: Makefile: target migrate exists/m);
    expect(statSync(path.join(cwd, 'package.json')).mtimeMs).toBe(before);
  });

  it('asks at a terminal, and writes nothing unless the answer is yes or --yes is given', async () => {
    const cwd = makeFolder({ 'package.json': '{}' });
    const no = await runInProcess(['init'], cwd, {}, 'n\n');
    expect(no.code).toBe(5);
    expect(no.stderr).toMatch(/Write this\? \[y\/N\] nothing was written\n {2}hint: .*--yes$/m);
    expect(readdirSync(cwd)).toEqual(['package.json']);
    expect(await runInProcess(['init', '--yes'], cwd, {}, '')).toMatchObject({ code: 0 });
    expect(read(cwd, 'package.json')).toContain('"migrate": "exec umzug-cluster up"');
  });

  it('writes scripts whose command npm hands signals to, and whose exit code npm keeps', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const { dir: cwd } = makeProject({ 'a.ts': rowsMigration(0.3) });
      writeFileSync(path.join(cwd, 'package.json'), '{}');
      expect((await run(['init'], { cwd, url: null })).code).toBe(0);
      const bin = path.join(cwd, 'node_modules/.bin');
      mkdirSync(bin, { recursive: true });
      const cli = path.resolve(import.meta.dirname, '../../dist/cli.js');
      const shim = `#!/bin/sh\nexec "${process.execPath}" "${cli}" "$@"\n`;
      writeFileSync(path.join(bin, 'umzug-cluster'), shim, { mode: 0o755 });
      const args = ['run', '--silent', 'migrate', '--', '--workers', '1', '--chunk-size', '50'];
      const env = { ...process.env, DATABASE_URL: url, UMZUG_CLUSTER_LOG_FORMAT: 'pretty' };
      const npm = spawn('npm', args, { cwd, env, detached: true });
      onTestFinished(() => killGroup(npm.pid ?? 0));
      let said = '';
      npm.stderr.on('data', (data) => (said += String(data)));
      const ended = new Promise((resolve) => npm.on('close', resolve));
      await until('rows are done', () => rowsDone(client));
      npm.kill('SIGTERM');
      expect(await ended, said).toBe(143);
      expect(said).toMatch(/^stopped.*no work lost$/m);
      expect(groupMembers(npm.pid ?? 0)).toEqual([]);
    });
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
