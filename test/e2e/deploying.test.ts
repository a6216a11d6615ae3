import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { up } from '../../src/commands/run/up.ts';
import { worker } from '../../src/commands/run/worker.ts';
import { globalOptions } from '../../src/commands/frame/globals.ts';
import { exitMeanings } from '../../src/errors.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

/** The recipes for deploys are checked as far as a machine without those systems can. */

const root = path.join(import.meta.dirname, '..', '..');
const page = readFileSync(path.join(root, 'docs/deploying.md'), 'utf8');

const scale = readFileSync(path.join(root, 'docs/scale.md'), 'utf8');

/** The recipe of a section. */
function recipe(heading: string, from: string = page): string {
  const [, section = ''] = from.split(`\n## ${heading}\n`);
  return /```\w+\n([^]*?)```/.exec(section)?.[1] ?? '';
}

const codes = exitMeanings.flatMap((one) => one.codes);
const final = [1, 2, 3, 5, 70];

describe('the exit codes', () => {
  it('are all explained', () => {
    const [, table = ''] = page.split('\n## What an exit code means for a deploy\n');
    const explained = [...table.matchAll(/^\| ([\d, ]+?) +\|/gm)].flatMap(([, cell = '']) =>
      cell.split(', '),
    );
    expect(explained.map(Number)).toEqual(codes);
  });
});

describe('the commands', () => {
  it('have only flags that up has', () => {
    const known = [...Object.keys(globalOptions), ...Object.keys(up.options)];
    const lines = [...page.matchAll(/(?:umzug-cluster|cli\.js) up ([^`\n]*)/g)].map(([, line = '']) => line);
    expect(lines.length).toBeGreaterThan(3);
    for (const [, flag] of lines.join(' ').matchAll(/--([a-z-]+)/g)) expect(known).toContain(flag);
  });
});

interface JobFile {
  readonly spec: {
    readonly podFailurePolicy: {
      readonly rules: readonly { action: string; onExitCodes?: { values: number[] } }[];
    };
    readonly template: { readonly spec: { readonly terminationGracePeriodSeconds: number } };
  };
}

type Models = Readonly<Record<'Job' | 'Deployment', new (value: unknown) => { validate(): void }>>;

describe('the Job for Kubernetes', () => {
  const job = parse(recipe('Kubernetes')) as JobFile;
  const models = createRequire(import.meta.url)('kubernetes-models/batch/v1') as {
    Job: new (value: unknown) => { validate(): void };
  };

  it('is one by the published schema, which refuses another', () => {
    expect(() => new models.Job(job).validate()).not.toThrow();
    const wrong = parse(recipe('Kubernetes').replace('action: FailJob', 'action: Fail')) as unknown;
    expect(() => new models.Job(wrong).validate()).toThrow(/action/);
  });

  it('fails at once with the codes that a retry does not change, and outlasts the grace', () => {
    const [rule] = job.spec.podFailurePolicy.rules;
    expect(rule).toMatchObject({ action: 'FailJob', onExitCodes: { values: final } });
    expect(job.spec.template.spec.terminationGracePeriodSeconds).toBeGreaterThan(20);
  });
});

describe('the recipes for many hosts', () => {
  const job = recipe('Kubernetes: a Job of many pods', scale);
  const workers = recipe('Kubernetes: workers that are always there', scale);
  const unit = recipe('systemd', scale);

  it('are a Job and a Deployment by their published schemas', () => {
    const { Job } = createRequire(import.meta.url)('kubernetes-models/batch/v1') as Models;
    const { Deployment } = createRequire(import.meta.url)('kubernetes-models/apps/v1') as Models;
    expect(() => new Job(parse(job)).validate()).not.toThrow();
    expect(() => new Deployment(parse(workers)).validate()).not.toThrow();
    expect(() =>
      new Deployment(parse(workers.replace('containerPort: 8080', 'containerPort: x'))).validate(),
    ).toThrow();
  });

  it('let each of the pods end by itself, or run commands that there are, and outlast the grace', () => {
    const { spec } = parse(job) as JobFile;
    expect(spec).toMatchObject({ parallelism: 10, completions: 10 });
    expect(spec.podFailurePolicy.rules[0]).toMatchObject({ onExitCodes: { values: final } });
    const [args = ''] = /args: \[worker, .*\]/.exec(workers) ?? [];
    expect(parse(args)).toEqual({ args: ['worker', '--listen', '0.0.0.0:8080'] });
    expect(Object.keys(worker.options)).toContain('listen');
    for (const [, seconds] of `${workers}${unit}`.matchAll(/(?:GracePeriodSeconds: |TimeoutStopSec=)(\d+)/g))
      expect(Number(seconds)).toBeGreaterThan(20);
    expect(unit).toMatch(/^ExecStart=.*cli\.js worker --listen 127\.0\.0\.1:4950$/m);
  });
});

describe('the image', () => {
  it('starts the command itself, as nobody who owns it', async () => {
    const file = recipe('Container image');
    const listed = (instruction: string): readonly string[] =>
      JSON.parse(new RegExp(`^${instruction} (\\[.*\\])$`, 'm').exec(file)?.[1] ?? '') as readonly string[];
    const [program, ...args] = [...listed('ENTRYPOINT'), ...listed('CMD')];
    expect(program).toBe('node');
    expect(file).toMatch(/^USER node$/m);
    await withDatabase(async ({ url }) => {
      const { dir: cwd } = makeProject({ 'a.ts': 'export const up = (db) => db.raw("select 1");' });
      mkdirSync(path.join(cwd, 'node_modules'));
      symlinkSync(root, path.join(cwd, 'node_modules/umzug-cluster'));
      const env = { PATH: process.env['PATH'], NODE_ENV: 'production', DATABASE_URL: url };
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd, env, encoding: 'utf8' });
      expect(status, stderr).toBe(0);
      expect(stdout).toMatch(/^a: done/);
    });
  });
});

describe('the unit for systemd', () => {
  const unit = recipe('systemd');

  it('is not restarted with the codes that a retry does not change', () => {
    expect(unit).toContain(`RestartPreventExitStatus=${final.join(' ')}\n`);
  });

  const isThere = spawnSync('systemd-analyze', ['--version']).status === 0;
  it.skipIf(!isThere).each([
    ['of up', unit],
    ['of worker', recipe('systemd', scale)],
  ])('is one that systemd understands, %s', (_of, text) => {
    const { dir } = makeProject({});
    const file = path.join(dir, 'migrate.service');
    writeFileSync(file, text.replace('/usr/bin/node', process.execPath));
    const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' });
    expect(`${stdout}${stderr}`.split('\n').filter((line) => line.includes('migrate.service'))).toEqual([]);
  });
});

describe('the other files', () => {
  it('are YAML: a workflow whose step is the command, and three hosts of which all must end well', () => {
    const workflow = parse(recipe('GitHub Actions')) as {
      jobs: { migrate: { steps: { run?: string }[] }; release: { needs: string } };
    };
    expect(workflow.jobs.release.needs).toBe('migrate');
    expect(workflow.jobs.migrate.steps.at(-1)?.run).toMatch(/^exec node_modules\/\.bin\/umzug-cluster up/);
    expect(parse(recipe('Compose, with three hosts'))).toMatchObject({
      services: {
        migrate: { deploy: { replicas: 3 } },
        shop: { depends_on: { migrate: { condition: 'service_completed_successfully' } } },
      },
    });
    expect(recipe('Heroku')).toMatch(/^release: exec node_modules\/\.bin\/umzug-cluster up/);
  });
});
