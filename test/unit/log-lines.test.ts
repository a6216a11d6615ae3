import { describe, expect, it } from 'vitest';
import { annotation } from '../../src/core/config/github-lines.ts';
import { logFormatOf } from '../../src/core/config/log-format.ts';
import { type Logger, createLogger } from '../../src/logger.ts';

type Output = Parameters<typeof createLogger>[0];

const forPeople: Output = {
  json: false,
  logFormat: 'pretty',
  logLevel: 'debug',
  progress: false,
  color: false,
  verbose: false,
};

/** What is written, with the time of day as it is in all of these lines. */
function written(output: Partial<Output>, log: (logger: Logger) => void): string {
  let text = '';
  log(createLogger({ ...forPeople, ...output }, { write: (line) => (text += line) }));
  return text.replace(/^\d\d:\d\d:\d\d /, '12:03:41 ');
}

const started = { event: 'migration.started', migration: 'a', direction: 'up' } as const;
const left = { event: 'run.left', migration: 'a', rows: 3 } as const;

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
    expect(written({}, (logger) => logger.info(started, 'sku-norm: up'))).toBe(
      '12:03:41 INFO sku-norm: up\n',
    );
  });

  it('stays one line, and shows the fields where there is no sentence or they are asked for', () => {
    const fields = '{"event":"run.left","migration":"a","rows":3}';
    expect(written({}, (logger) => logger.warn(left, 'two\n  lines'))).toBe('12:03:41 WARN two lines\n');
    expect(written({}, (logger) => logger.warn(left))).toBe(`12:03:41 WARN ${fields}\n`);
    expect(written({ verbose: true }, (logger) => logger.warn(left, 'x'))).toBe(
      `12:03:41 WARN x ${fields}\n`,
    );
  });
});

describe('a line for GitHub Actions', () => {
  const github = { logFormat: 'github' } as const;

  it('makes each migration a group', () => {
    expect(written(github, (logger) => logger.info(started, 'a: up'))).toBe('::group::a: up\n');
    const done = {
      ...started,
      event: 'migration.done',
      rows: 1,
      chunks: 1,
      retries: 0,
      durationMs: 1,
    } as const;
    expect(written(github, (logger) => logger.info(done, 'a: up done'))).toBe(
      '12:03:41 INFO a: up done\n::endgroup::\n',
    );
  });

  it('makes warnings and errors annotations, and leaves other records as they are', () => {
    expect(written(github, (logger) => logger.warn(left, '5% left'))).toBe(
      '::warning title=umzug-cluster::5%25 left\n',
    );
    expect(written(github, (logger) => logger.info(left, 'waiting'))).toBe('12:03:41 INFO waiting\n');
  });

  it('escapes what would end a command', () => {
    expect(annotation('error', 'at 100%\r\n  hint: x')).toBe(
      '::error title=umzug-cluster::at 100%25%0D%0A  hint: x',
    );
  });
});
