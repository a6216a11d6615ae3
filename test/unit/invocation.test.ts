import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { invokedAs, pasteable, placesIn, programOf } from '../../src/core/values/invocation.ts';

const verbs = ['up', 'down', 'status'];
const bin = '/project/node_modules/.bin/umzug-cluster';

afterEach(() => invokedAs({ typed: 'umzug-cluster', up: null, verbs }));

describe('the program is named as it is typed', () => {
  test.each([
    [
      'by its name where the shell finds it',
      '/usr/bin/umzug-cluster',
      { PATH: '/bin:/usr/bin' },
      'umzug-cluster',
    ],
    ['by npx where a script of npm runs it', bin, { npm_config_user_agent: 'npm/10.8' }, 'npx umzug-cluster'],
    ['by npx where a path was typed', bin, { PATH: '/bin' }, 'npx umzug-cluster'],
    ['by pnpm', bin, { npm_config_user_agent: 'pnpm/9.0 npm/?' }, 'pnpm exec umzug-cluster'],
    ['by yarn', bin, { npm_config_user_agent: 'yarn/4.1' }, 'yarn umzug-cluster'],
    ['as a script in a checkout', '/project/dist/cli.js', {}, 'node dist/cli.js'],
    ['as a script in a folder with a space', '/project/my dist/cli.js', {}, "node 'my dist/cli.js'"],
  ])('%s', (_, script, env, program) => {
    expect(programOf({ script, relative: path.relative('/project', script), env })).toBe(program);
  });
});

describe('a sentence', () => {
  test('names program and places before the verb, as often as there is a command', () => {
    invokedAs({ typed: 'npx umzug-cluster --migrations db', up: null, verbs });
    expect(pasteable('resume: umzug-cluster up; roll back: umzug-cluster down --name a')).toBe(
      'resume: npx umzug-cluster --migrations db up; roll back: npx umzug-cluster --migrations db down --name a',
    );
  });

  test('that was changed is left as it is', () => {
    invokedAs({ typed: 'npx umzug-cluster', up: null, verbs });
    expect(pasteable(pasteable('see umzug-cluster status'))).toBe('see npx umzug-cluster status');
  });

  test('about the product is no command', () => {
    invokedAs({ typed: 'npx umzug-cluster', up: null, verbs });
    expect(pasteable('umzug-cluster sets the isolation level')).toBe(
      'umzug-cluster sets the isolation level',
    );
  });

  test('names the target of make for a plain up alone', () => {
    invokedAs({ typed: 'npx umzug-cluster', up: 'make migrate', verbs });
    expect(pasteable('umzug-cluster up; or umzug-cluster up --to a')).toBe(
      'make migrate; or npx umzug-cluster up --to a',
    );
  });
});

test('the flags that say where things are come back in both forms, quoted for a shell', () => {
  expect(placesIn(['up', '--embedded', '--migrations', "it's here", '--env=prod', '--workers', '2'])).toEqual(
    ['--env', 'prod', '--migrations', String.raw`'it'\''s here'`, '--embedded'],
  );
  expect(placesIn(['up', '--targets', 'tenant_7'])).toEqual([]);
  expect(placesIn(['up', '--targets=none'])).toEqual(['--targets', 'none']);
});
