import { describe, expect, it } from 'vitest';
import { annotation, githubLines } from '../../src/core/config/github-lines.ts';
import { logFormatOf } from '../../src/core/config/log-format.ts';
import { logLine } from '../../src/core/config/log-line.ts';

const record = { level: 'info', time: new Date(2026, 0, 2, 12, 3, 41).toISOString(), pid: 1, hostname: 'a' };
const plain = { color: false, fields: false };

describe('the format of the log', () => {
  it.each([
    ['pretty', undefined, {}],
    ['pretty', undefined, { CI: 'true' }],
    ['json', undefined, { NODE_ENV: 'production' }],
    ['json', 'json', { GITHUB_ACTIONS: 'true' }],
    ['github', undefined, { GITHUB_ACTIONS: 'true', NODE_ENV: 'production' }],
    ['github', 'github', {}],
  ])('is %s in a pipe with --log-format %s and %j', (format, asked, env) => {
    expect(logFormatOf(asked, env, false)).toBe(format);
  });

  it('is for people on a terminal, unless another is asked for', () => {
    expect(logFormatOf(undefined, { NODE_ENV: 'production', GITHUB_ACTIONS: 'true' }, true)).toBe('pretty');
    expect(logFormatOf('json', {}, true)).toBe('json');
  });
});

describe('a line of the log', () => {
  it('has time, level and a sentence', () => {
    expect(logLine({ ...record, event: 'x', msg: 'sku-norm: up' }, plain)).toBe('12:03:41 INFO sku-norm: up');
  });

  it('stays one line, and shows the fields where there is no sentence or they are asked for', () => {
    expect(logLine({ ...record, msg: 'two\n  lines' }, plain)).toBe('12:03:41 INFO two lines');
    expect(logLine({ ...record, level: 'warn', rows: 3 }, plain)).toBe('12:03:41 WARN {"rows":3}');
    const both = logLine({ ...record, rows: 3, msg: 'x' }, { ...plain, fields: true });
    expect(both).toBe('12:03:41 INFO x {"rows":3}');
  });
});

describe('a line for GitHub Actions', () => {
  it('makes each migration a group', () => {
    const started = { ...record, event: 'migration.started', migration: 'a', msg: 'a: up' };
    expect(githubLines(started, false)).toBe('::group::a: up');
    const done = { ...record, event: 'migration.done', migration: 'a', msg: 'a: up done' };
    expect(githubLines(done, false)).toBe('12:03:41 INFO a: up done\n::endgroup::');
  });

  it('makes warnings and errors annotations, and leaves other records as they are', () => {
    const warned = { ...record, event: 'run.left', level: 'warn', msg: '5% left' };
    expect(githubLines(warned, false)).toBe('::warning title=umzug-cluster::5%25 left');
    expect(githubLines({ ...record, event: 'run.waiting', msg: 'waiting' }, false)).toBe(
      '12:03:41 INFO waiting',
    );
  });

  it('escapes what would end a command', () => {
    expect(annotation('error', 'at 100%\r\n  hint: x')).toBe(
      '::error title=umzug-cluster::at 100%25%0D%0A  hint: x',
    );
  });
});
