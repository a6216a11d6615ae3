import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Outcome, run as runIn } from '../support/cli.ts';

const cli = path.resolve(import.meta.dirname, '../../dist/cli.js');
const { version } = JSON.parse(
  readFileSync(path.resolve(import.meta.dirname, '../../package.json'), 'utf8'),
) as { version: string };

let cwd = '';
beforeEach(() => {
  cwd = mkdtempSync(path.join(os.tmpdir(), 'cli-'));
});
afterEach(() => {
  rmSync(cwd, { recursive: true, force: true });
});

/** Runs the built command line as a deploy would, with no variable of ours but the ones given. */
function run(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return runIn(args, { cwd, url: null, env });
}

describe('usage', () => {
  it('--version prints the version of package.json', async () => {
    expect(await run(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('--help lists every command, and `up --help` its flags and examples', async () => {
    const all = await run(['--help']);
    expect(all).toMatchObject({ code: 0, stderr: '' });
    for (const verb of ['up', 'down', 'plan', 'pending', 'executed', 'create', 'status', 'completion']) {
      expect(all.stdout).toContain(`umzug-cluster ${verb}`);
    }
    const one = await run(['up', '-h']);
    for (const text of ['--to', '--step', '--rerun', '--max-time', '--workers', 'Examples:']) {
      expect(one.stdout).toContain(text);
    }
  });

  it('no command prints the help, and is no success; no line of any help is wider than 80 columns', async () => {
    const none = await run([]);
    expect(none).toMatchObject({ code: 2, stdout: (await run(['--help'])).stdout, stderr: '' });
    const verbs = [...none.stdout.matchAll(/^ {2}umzug-cluster ([a-z]+) /gm)].map(([, verb]) => verb ?? '');
    expect(verbs.length).toBeGreaterThan(15);
    for (const args of [[], ...verbs.map((verb) => [verb])]) {
      const { stdout } = await run([...args, '--help']);
      const wide = stdout.split('\n').filter((line) => line.length > 80);
      expect(wide, args.join(' ')).toEqual([]);
    }
  });

  it('leads from --dry-run to plan', async () => {
    const { code, stderr } = await run(['up', '--dry-run']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: unknown flag "--dry-run": a plan .*\n {2}hint: .*umzug-cluster plan$/m);
    expect((await run(['down', '--dry-run'])).stderr).toMatch(/hint: .*umzug-cluster down --plan$/m);
  });
});

describe('completion', () => {
  const complete = async (...words: string[]): Promise<readonly string[]> =>
    (await run(['--complete', ...words])).stdout.split('\n').filter(Boolean);

  it('has a script for each shell', async () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      const { code, stdout } = await run(['completion'], { SHELL: `/bin/${shell}` });
      expect({ code, stdout }).toEqual({ code: 0, stdout: (await run(['completion', shell])).stdout });
      expect(stdout).toContain('umzug-cluster --complete');
    }
    expect((await run(['completion', 'tcsh'])).code).toBe(2);
  });

  it('offers commands, flags and their values, settings, and migrations by any part', async () => {
    mkdirSync(path.join(cwd, 'migrations'));
    for (const name of ['2025.a-slug', '2025.b-sku'])
      writeFileSync(path.join(cwd, 'migrations', `${name}.ts`), '');
    expect(await complete('pa')).toEqual(['pause']);
    expect(await complete('up', '--ne')).toEqual([]);
    expect(await complete('up', '--max')).toEqual(['--max-time', '--max-time-ok']);
    expect(await complete('up', '--log-format', 'j')).toEqual(['json']);
    expect(await complete('pause', '')).toEqual(['2025.a-slug', '2025.b-sku']);
    expect(await complete('up', '--to', '2025.b')).toEqual(['2025.b-sku']);
    expect(await complete('--env', 'x', 'status', 'slug')).toEqual(['2025.a-slug']);
    expect(await complete('set', '2025.a-slug', 'ch')).toEqual(['chunkSize=']);
    expect(await complete('create', '--name', '2025')).toEqual([]);
    expect(await complete('embedded', 's')).toEqual(['stop']);
  });

  it('works in bash, as it prints it', async () => {
    mkdirSync(path.join(cwd, 'migrations'));
    writeFileSync(path.join(cwd, 'migrations', '2025.a-slug.ts'), '');
    const { stdout: script } = await run(['completion', 'bash']);
    const program = `umzug-cluster() { "${process.execPath}" "${cli}" "$@"; }
      ${script}
      COMP_WORDS=(umzug-cluster status slug) COMP_CWORD=2; _umzug_cluster; echo "\${COMPREPLY[*]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', program], { cwd, encoding: 'utf8' });
    expect(stdout, stderr).toBe('2025.a-slug\n');
  });
});

describe('the answers to wrong usage', () => {
  it.each(['upp --json', '--json', 'up --workers abc --json', 'up --json'])(
    'answers `%s` with one JSON document on stdout',
    async (line) => {
      const { code, stdout, stderr } = await run(line.split(' '));
      expect({ code, stderr }).toEqual({ code: 2, stderr: '' });
      const { error } = JSON.parse(stdout) as { error: object };
      expect(Object.keys(error)).toEqual(['code', 'message', 'detail', 'hint']);
    },
  );

  it('never prints a password', async () => {
    for (const DATABASE_URL of ['mysql://u:hunter2@h/d', 'postgres://u:hunter2@h:abc/d', 'u:hunter2@h']) {
      for (const flags of [[], ['--json'], ['--verbose']]) {
        const { code, stdout, stderr } = await run(['up', ...flags], { DATABASE_URL });
        expect(code).toBe(2);
        expect(stdout + stderr).not.toContain('hunter2');
      }
    }
  });

  it('shows the stack of a broken knexfile only with --verbose', async () => {
    writeFileSync(path.join(cwd, 'knexfile.ts'), `throw new Error('broken on purpose');`);
    const quiet = await run(['up']);
    expect(quiet).toMatchObject({ code: 2 });
    expect(quiet.stderr).toMatch(/^error: knexfile.ts threw while loading: broken on purpose$/m);
    expect(quiet.stderr).not.toMatch(/^\s+at /m);
    expect((await run(['up', '--verbose'])).stderr).toMatch(/^\s+at /m);
  });
});

it('says that the working directory no longer exists, where a deploy has removed it', () => {
  const script = 'rmdir "$PWD" && exec "$0" "$@"';
  const args = ['-c', script, process.execPath, cli, 'status', '--json'];
  const { status, stdout, stderr } = spawnSync('sh', args, { cwd, encoding: 'utf8' });
  expect(status, stderr).toBe(2);
  expect(JSON.parse(stdout)).toMatchObject({ error: { message: 'the working directory no longer exists' } });
});

describe('create', () => {
  const files = (): readonly string[] => readdirSync(path.join(cwd, 'migrations'));

  it('writes a file with a timestamp, prints its path, and needs no database', async () => {
    const { code, stdout, stderr } = await run(['create', '--name', 'dated-to-date-given']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `migrations/${files()[0]}\n` });
    expect(files()[0]).toMatch(/^\d{4}\.\d\d\.\d\dT\d\d\.\d\d\.\d\d\.dated-to-date-given\.ts$/);
    expect(stderr).toContain('umzug-cluster up');
  });

  it('writes each kind, and says so as JSON', async () => {
    const { stdout } = await run(['create', '--name', 'a', '--prefix', 'NONE', '--kind', 'schema', '--json']);
    const { name, path: file } = JSON.parse(stdout) as { name: string; path: string };
    expect({ name, file: path.basename(file) }).toEqual({ name: 'a', file: 'a.ts' });
    expect(readFileSync(path.join(cwd, 'migrations/a.ts'), 'utf8')).toMatch(/export .*\bup\b/);
  });

  it('never overwrites a file', async () => {
    mkdirSync(path.join(cwd, 'migrations'));
    writeFileSync(path.join(cwd, 'migrations/a.js'), 'mine');
    const again = await run(['create', '--name', 'a', '--prefix', 'NONE', '--allow-confusing-ordering']);
    expect(again).toMatchObject({ code: 2, stdout: '' });
    expect(again.stderr).toContain('a already exists');
    expect(files()).toEqual(['a.js']);
  });

  it('refuses a name that sorts before existing files, unless told', async () => {
    mkdirSync(path.join(cwd, 'migrations'));
    writeFileSync(path.join(cwd, 'migrations/b.ts'), '');
    const args = ['create', '--name', 'a', '--prefix', 'NONE'];
    const refused = await run(args);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('a would sort before b');
    expect(await run([...args, '--allow-confusing-ordering'])).toMatchObject({ code: 0 });
  });

  it('passes over what is no migration', async () => {
    mkdirSync(path.join(cwd, 'migrations'));
    for (const file of ['z.test.ts', 'z.d.ts', '.z.ts'])
      writeFileSync(path.join(cwd, 'migrations', file), '');
    expect(await run(['create', '--name', 'a', '--prefix', 'NONE'])).toMatchObject({ code: 0 });
  });

  it('refuses a folder that up does not read, unless told', async () => {
    const args = ['create', '--name', 'a', '--folder', 'elsewhere'];
    expect((await run(args)).stderr).toContain('--skip-verify');
    expect(await run([...args, '--skip-verify'])).toMatchObject({ code: 0 });
  });
});
