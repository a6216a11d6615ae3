import { expect, it } from 'vitest';
import { VirtualScreen } from '../../scripts/virtual-screen.ts';
import { type Outcome, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';

// As a URL: NODE_OPTIONS ends a path at its first space.
const pretend = new URL('../../scripts/pretend-terminal.mjs', import.meta.url).href;
const args = ['up', '--workers', '1', '--chunk-size', '1000'];

interface Seen extends Outcome {
  /** What stood on the terminal at any moment: its lines, joined. */
  readonly moments: readonly string[];
  readonly screen: VirtualScreen;
}

const drawings = 4;

// Rows of the second half wait until the test lets them go.
const held = rowsMigration().replace(
  'async (db, rows) => {',
  `async (db, rows) => {
    if (rows.some(({ id }) => Number(id) > 10_000)) await db.raw('select pg_advisory_xact_lock_shared(1)');`,
);

/**
 * Runs the example in what it takes for a terminal, and watches what stands there. It ends once a moment like
 * `awaited` was seen a few times, however fast the machine is.
 */
async function onTerminal(
  columns: number,
  awaited: RegExp | null,
  env: NodeJS.ProcessEnv = {},
): Promise<Seen> {
  return await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const source = awaited === null ? rowsMigration() : held;
    const { dir } = makeProject({ '2025.05.18T22.04.04.dated-to-date-given.ts': source });
    await client.query('select pg_advisory_lock(1)');
    const terminal = {
      NODE_OPTIONS: `--import=${pretend}`,
      PRETEND_TERMINAL: `${columns}x20`,
      TERM: 'xterm',
      UMZUG_CLUSTER_LOCK_TIMEOUT_MS: '60000',
    };
    const up = start(args, { cwd: dir, url, env: { ...terminal, ...env } });
    const screen = new VirtualScreen(columns);
    const moments: string[] = [];
    up.child.stderr?.on('data', (data) => {
      screen.write(String(data));
      moments.push(screen.lines.join('\n'));
    });
    if (awaited !== null) {
      const isEnough = (): boolean => moments.filter((moment) => awaited.test(moment)).length >= drawings;
      await until('enough is drawn', isEnough);
    }
    await client.query('select pg_advisory_unlock(1)');
    const outcome = await up.outcome;
    expect(outcome.code, outcome.stderr).toBe(0);
    return { ...outcome, moments, screen };
  });
}

it('draws one block in place, and leaves only log lines and what to do next', async () => {
  const { moments, screen, stdout } = await onTerminal(100, /█+░* [^]*chunk 1,000 rows in/);
  const drawn = moments.filter((moment) => /[█░]/.test(moment));
  for (const moment of drawn) expect(moment.match(/chunk|no chunk yet/g)).toHaveLength(1);
  expect(drawn.at(-1)).toMatch(
    /^2025\.05\.18T22\.04\.04\.dated-to-date-given\n {2}█+░* +\d+% {2}[\d,]+\/[\d,]+ rows {2}.*ETA .*\n {2}\d+ done · chunk 1,000 rows in .* · 1 worker/m,
  );
  expect(screen.lines.join('\n')).not.toMatch(/[█░]/);
  expect(screen.lines.at(-2)).toMatch(/^next: check for rows that were missed: umzug-cluster verify/);
  expect(stdout).toMatch(/: 20,000 rows in \d+ chunks, .* rows\/s, \d+% HOT updates\n$/);
});

it.each([
  [['a.ts'], `next: check for rows that were missed: umzug-cluster verify`],
  [
    ['a.ts', 'b.ts'],
    `next: check for rows that were missed: umzug-cluster verify; roll the last one back: umzug-cluster down`,
  ],
  [['b.ts'], `next: roll it back: umzug-cluster down`],
  [['c.ts'], null],
] as const)(
  'says what to do next after %j, and of down only where there is a way back',
  async (names, next) => {
    const files = {
      'a.ts': `export const select = (db) => db('t').select('id'); export const update = async () => {};`,
      'b.ts': `export const up = (db) => db.raw('select 1'); export const down = up;`,
      'c.ts': `export const up = (db) => db.raw('select 1');`,
    };
    await withDatabase(async ({ url, client }) => {
      await client.query('create table t (id int primary key)');
      const { dir } = makeProject(Object.fromEntries(names.map((name) => [name, files[name]])));
      const { code, stderr } = await run(['up', '--log-format', 'pretty', '--workers', '1'], {
        cwd: dir,
        url,
      });
      expect({ code, next: /^next: .*/m.exec(stderr)?.[0] ?? null }).toEqual({ code: 0, next });
    });
  },
);

it('keeps to a narrow terminal', async () => {
  const { moments } = await onTerminal(44, /^ {2}\d+%.*ETA/m);
  const drawn = moments.filter((moment) => /ETA/.test(moment));
  const blocks = drawn.flatMap((moment) => moment.split('\n').filter((line) => /^ {2}/.test(line)));
  expect(blocks.length).toBeGreaterThanOrEqual(drawings);
  for (const line of blocks) expect(line.length).toBeLessThan(44);
});

it('takes a terminal that does not know its size for one of 80 columns', async () => {
  const { moments } = await onTerminal(80, /█+░* [^]*chunk 1,000 rows in/, { PRETEND_TERMINAL: '0x0' });
  expect(moments.findLast((moment) => /ETA/.test(moment))).toMatch(/^2025[^ ]+\n {2}█+░*.*\n.*chunk/m);
});

it('has no colour with NO_COLOR, and is drawn all the same', async () => {
  const { stderr } = await onTerminal(100, /█/, { NO_COLOR: '1' });
  expect(stderr).toContain('█');
  // oxlint-disable-next-line no-control-regex
  expect(stderr).not.toMatch(/\u001b\[\d+(;\d+)*m/);
});

it.each([
  ['CI', { CI: 'true' }],
  ['a dumb terminal', { TERM: 'dumb' }],
])('writes lines without drawing with %s', async (_name, env) => {
  const { stderr } = await onTerminal(100, null, env);
  for (const escape of ['\u001b[?2026h', '\u001b[K', '\u001b[0J']) expect(stderr).not.toContain(escape);
  // oxlint-disable-next-line no-control-regex
  expect(stderr).toMatch(/INFO(?:\u001b\[0m)? \S+dated-to-date-given \d+% [\d,]+\/[\d,]+ rows/);
  expect(stderr).not.toMatch(/[█░]/);
});

it('writes one JSON record at each change of state in production, also of what an operator sets', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.3) }).dir, url };
    await client.query('begin; update counters set hits = 1 where id = 1');
    const env = { NODE_ENV: 'production' };
    const up = start(['up', '--workers', '1', '--chunk-size', '50'], { ...place, env });
    await up.says(/"event":"run.progress".*"waiting":"transaction of pid/);
    await client.query('commit');
    await up.says(/"event":"run.progress".*"waiting":null/);
    await run(['set', 'a', 'pace=100'], place);
    await up.says(/"event":"run.set".*"settings":\{"pace":100\}/);
    await up.says(/"event":"run.progress".*"throttled":"pace: at most 100 rows/);
    await run(['set', 'a', 'pace=off'], place);
    hurry(place.cwd);
    const { code, stderr } = await up.outcome;
    expect(code, stderr).toBe(0);
    const records = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string });
    // There is one every 10 s besides, but none for each of the 400 chunks.
    expect(records.length).toBeLessThan(200);
    expect(stderr).not.toContain('\u001b');
  });
});
