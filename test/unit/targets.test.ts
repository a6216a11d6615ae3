import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { createMigrator, targetNames } from '../../src/application.ts';
import { type Config, loadConfig } from '../../src/config/config.ts';
import { namesMeant } from '../../src/core/targets/names.ts';
import { leadingCode } from '../../src/core/targets/outcome.ts';
import { shareOf } from '../../src/core/targets/share.ts';
import { placeOfLedger } from '../../src/core/values/ledger-place.ts';
import { type UmzugClusterError, fail } from '../../src/errors.ts';
import { overTargets } from '../../src/targets/pool.ts';
import { type Target, resolveTargets } from '../../src/targets/resolve.ts';
import { verdictOn } from '../../src/targets/verdict.ts';

const names = ['acme', 'tenant_1', 'tenant_2', 'tenant_11'];

it.each([
  ['acme', ['acme'], null],
  ['tenant_2,acme', ['acme', 'tenant_2'], null],
  ['tenant_*', ['tenant_1', 'tenant_2', 'tenant_11'], null],
  ['*_1*', ['tenant_1', 'tenant_11'], null],
  ['*', names, null],
  ['tenant_1*1', ['tenant_11'], null],
  ['acme, tenant_3', ['acme'], 'tenant_3'],
  ['t*x', [], 't*x'],
  ['', [], ''],
])('--targets %j means %j', (list, meant, unknown) => {
  const found = namesMeant(list, names);
  expect(names.filter((name) => found.meant.has(name))).toEqual(meant);
  expect(found.unknown).toBe(unknown);
});

it('a signal comes before a bug, a bug before a failure, and what only has to be tried again comes last', () => {
  expect(leadingCode(['STOPPED', 'DATABASE_UNAVAILABLE', 'MIGRATION_FAILED'])).toBe('MIGRATION_FAILED');
  expect(leadingCode(['DRIFT', 'CONFIG'])).toBe('CONFIG');
  expect(leadingCode(['STOPPED', 'DATABASE_UNAVAILABLE'])).toBe('DATABASE_UNAVAILABLE');
  expect(leadingCode(['MIGRATION_FAILED', 'LEDGER_DAMAGED', 'TERMINATED'])).toBe('TERMINATED');
  expect(leadingCode([])).toBe(null);
});

it('processes and chunks at a time are divided among the targets that are worked on, of which each has one', () => {
  expect(shareOf({ workers: 8, lanes: null }, 1)).toEqual({ workers: 8, lanes: null });
  expect(shareOf({ workers: 8, lanes: null }, 2)).toEqual({ workers: 4, lanes: 4 });
  expect(shareOf({ workers: 2, lanes: 3 }, 16)).toEqual({ workers: 1, lanes: 1 });
});

const targetsOf = (count: number): Target[] =>
  Array.from({ length: count }, (_, no) => ({ name: `t${no}`, config: {} as Target['config'] }));
const calm = { atOnce: 2, first: 0, failFast: false, signal: new AbortController().signal };

it('no more targets are worked on at a time than may be, and what they end with is in their order', async () => {
  let atWork = 0;
  let most = 0;
  const ends = await overTargets(targetsOf(7), calm, async ({ name }) => {
    most = Math.max(most, (atWork += 1));
    await new Promise(setImmediate);
    atWork -= 1;
    if (name === 't3') throw fail('MIGRATION_FAILED', { message: 'no' });
    return name;
  });
  expect(most).toBe(2);
  expect(ends.map(({ value, state }) => value ?? state)).toEqual([
    't0',
    't1',
    't2',
    'failed',
    't4',
    't5',
    't6',
  ]);
});

it.each([
  [{ first: 2 }, 't1', ['done', 'failed', 'skipped', 'skipped']],
  [{ first: 1 }, 't2', ['done', 'done', 'failed', 'done']],
  [{ failFast: true, atOnce: 1 }, 't1', ['done', 'failed', 'skipped', 'skipped']],
  [{ signal: AbortSignal.abort() }, 't1', ['skipped', 'skipped', 'skipped', 'skipped']],
])('with %j, where %s fails, four targets end as %j', async (options, failing, states) => {
  const ends = await overTargets(targetsOf(4), { ...calm, ...options }, ({ name }) =>
    name === failing ? Promise.reject(new Error('no')) : Promise.resolve(),
  );
  expect(ends.map(({ state }) => state)).toEqual(states);
});

it('the error names the one target that has failed, in the commands too, or says how many there are', async () => {
  const failing =
    (some: readonly string[]): Parameters<typeof overTargets<null>>[2] =>
    ({ name }) =>
      some.includes(name)
        ? Promise.reject(
            fail('MIGRATION_FAILED', {
              message: 'a: 1 row is quarantined',
              hint: 'run: umzug-cluster retry a',
            }),
          )
        : Promise.resolve(null);
  const about = { again: 'up', stopped: null, report: {} };
  const one = verdictOn(await overTargets(targetsOf(3), calm, failing(['t1'])), about);
  expect(one).toMatchObject({
    code: 'MIGRATION_FAILED',
    message: 't1: a: 1 row is quarantined',
    hint: 'run: umzug-cluster retry --targets t1 a',
  });
  const two = verdictOn(await overTargets(targetsOf(3), calm, failing(['t0', 't2'])), about);
  expect(two).toMatchObject({
    message: 'of 3 targets, 2 failed',
    detail: 't0: a: 1 row is quarantined\nt2: a: 1 row is quarantined',
  });
  expect(verdictOn(await overTargets(targetsOf(3), calm, failing([])), about)).toBe(null);
});

/** The targets that a knexfile with this text as `targets` has. */
async function targetsIn(text: string, flags: object = {}): Promise<readonly Target[]> {
  const config = await configOf(
    'knexfile.cjs',
    `module.exports = { client: 'pg', connection: 'postgres://app:secret@h/shop', searchPath: ['extensions'],
      migrations: { cluster: { targets: ${text} } } };`,
    flags,
  );
  return config.targets === null ? [] : await resolveTargets(config, config.targets);
}

/** The configuration of a project with this knexfile. */
async function configOf(name: string, text: string, flags: object): Promise<Config> {
  const cwd = mkdtempSync(path.join(os.tmpdir(), 'targets-'));
  try {
    mkdirSync(path.join(cwd, 'migrations'));
    writeFileSync(path.join(cwd, name), text);
    return await loadConfig({ flags, cwd, env: {} });
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}

it('a target has its database, its schema before those of all, and its ledger beside its tables', async () => {
  const found = await targetsIn(
    `async () => [{ name: 'a', connection: 'postgres://x@one/shop' }, { name: 'b', schema: 'tenant_b' },
      { name: 'c', connection: 'postgres://x@two/shop?schema=c' }]`,
  );
  const shown = found.map(({ name, config }) => [
    name,
    config.database.kind === 'connection' && config.database.label,
    config.searchPath,
    placeOfLedger(config.ledgerSchema),
  ]);
  expect(shown).toEqual([
    ['a', 'one:5432/shop', ['extensions'], { schema: 'umzug_cluster', prefix: '' }],
    [
      'b',
      'h:5432/shop, schema tenant_b',
      ['tenant_b', 'extensions'],
      { schema: 'tenant_b', prefix: 'umzug_cluster_' },
    ],
    ['c', 'two:5432/shop, schema c', ['c', 'extensions'], { schema: 'c', prefix: 'umzug_cluster_' }],
  ]);
});

it('the knexfiles of the documentation have targets', async () => {
  const page = readFileSync(path.join(import.meta.dirname, '../../docs/many-databases.md'), 'utf8');
  const examples = [...page.matchAll(/```js\n((?:export default|const)[^]*?)```/g)].map(
    ([, text = '']) => text,
  );
  const found: unknown[] = [];
  for (const text of examples) {
    const filled = text.replaceAll(/process\.env\.(\w+)/g, `'postgres://x@$1/shop'`);
    const { targets } = await configOf('knexfile.mjs', filled, {});
    const entries = (await targets?.entries()) ?? [];
    found.push(entries.map(({ name, schema, schemas }) => name ?? schema ?? schemas));
  }
  expect(found).toEqual([[['tenant\\_%']], ['eu', 'us'], ['eu/acme']]);
});

it('an application names the target that it works on', async () => {
  const cwd = mkdtempSync(path.join(os.tmpdir(), 'targets-'));
  onTestFinished(() => rmSync(cwd, { recursive: true, force: true }));
  const targets = `[{ name: 'a', connection: 'postgres://x@one/shop' }, { name: 'b', connection: 'postgres://x@two/shop' }]`;
  writeFileSync(
    path.join(cwd, 'knexfile.cjs'),
    `module.exports = { client: 'pg', migrations: { cluster: { targets: ${targets} } } };`,
  );
  expect(await targetNames({ cwd })).toEqual(['a', 'b']);
  await (await createMigrator({ cwd, target: 'b' })).close();
  await expect(createMigrator({ cwd })).rejects.toMatchObject({ code: 'CONFIG' });
  await expect(createMigrator({ cwd, target: '*' })).rejects.toMatchObject({ code: 'CONFIG' });
});

it('--targets none leaves them alone', async () => {
  expect(await targetsIn(`[{ name: 'a', schema: 'a' }]`, { targets: 'none' })).toEqual([]);
});

it.each([
  [`'tenant_%'`, 'must be a list of targets, a function that returns one, or { schemas }: found string'],
  [`[]`, 'there is no target'],
  [
    `() => undefined`,
    'must be a list of targets, a function that returns one, or { schemas }: found undefined',
  ],
  [
    `() => { throw new Error('postgres://app:secret@h/db is gone') }`,
    'threw while loading: postgres://app:***@h/db',
  ],
  [`['postgres://app:secret@h/db']`, 'targets[0] must be an object: found string'],
  [`[{ connection: 'postgres://h/db' }]`, 'targets[0] needs a name'],
  [`[{ name: 'a', shema: 'x' }]`, 'unknown key "shema", did you mean "schema"?'],
  [
    `[{ name: 'postgres://app:secret@h/db', schema: 'a' }]`,
    'the name of a target has one of : @ ? =, as a URL has',
  ],
  [`[{ name: 'a,b', schema: 'a' }]`, 'has a blank, a comma, a quote, a * or a control character'],
  [`[{ name: 'none', schema: 'a' }]`, 'stands for no target at all'],
  [`[{ name: 'a', connection: process.env.NOT_THERE }]`, 'targets[0] has a connection that is undefined'],
  [`[{ name: 'a', connection: 'mysql://h/db' }]`, 'targets[0].connection is a mysql:// URL'],
  [`[{ schema: 'pg_temp' }]`, 'targets[0].schema must be the name of a schema of your own'],
  [`[{ schema: 'a', schemas: 'b%' }]`, 'has both a schema and schemas'],
  [
    `[{ name: 'a', schema: 'x', connection: 'postgres://h/db?schema=y' }]`,
    'has a schema, and another one in its URL',
  ],
  [`[{ name: 'a', schema: 'x' }, { name: 'a', schema: 'y' }]`, 'two targets have the name "a"'],
  [
    `[{ name: 'a', schema: 'x' }, { name: 'b', schema: 'x' }]`,
    '"a" and "b" are the same schema of the same database',
  ],
  [
    `[{ name: 'a', connection: 'postgres://u@h/db' }, { name: 'b', connection: 'postgres://v:secret@h:5432/db' }]`,
    '"a" and "b" are the same database',
  ],
])('targets %s are refused', async (text, message) => {
  const error = (await targetsIn(text).catch((thrown: unknown) => thrown)) as UmzugClusterError;
  expect(error).toMatchObject({ code: 'CONFIG', message: expect.stringContaining(message) as unknown });
  expect([error.message, error.detail, error.hint].join('\n')).not.toContain('secret');
});

it.each([
  ['b', 'no target is named "b"'],
  ['tenant_2', 'no target is named "tenant_2", did you mean "tenant_1"?'],
])('--targets %s is refused where no target is called so', async (targets, message) => {
  const asked = targetsIn(`[{ schema: 'tenant_1' }, { schema: 'acme' }]`, { targets });
  await expect(asked).rejects.toMatchObject({ code: 'USAGE', message: `--targets: ${message}` });
});
