import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Config, loadConfig } from '../../src/config/config.ts';
import { parseOverridesChange } from '../../src/config/overrides.ts';
import { UmzugClusterError } from '../../src/errors.ts';

let cwd = '';
beforeEach(() => {
  cwd = mkdtempSync(path.join(os.tmpdir(), 'config-'));
});
afterEach(() => {
  rmSync(cwd, { recursive: true, force: true });
});

const load = (env: NodeJS.ProcessEnv = {}, flags = {}): Promise<Config> =>
  loadConfig({ flags, cwd, env: { PGHOST: 'pg.example', ...env } });

const section = (text: string): void =>
  writeFileSync(
    path.join(cwd, 'knexfile.mjs'),
    `export default { client: 'pg', migrations: { cluster: { throttle: ${text} } } };`,
  );

async function refusal(env: NodeJS.ProcessEnv = {}): Promise<UmzugClusterError> {
  const error: unknown = await load(env).catch((thrown: unknown) => thrown);
  if (error instanceof UmzugClusterError && error.code === 'CONFIG') return error;
  throw new Error(`not refused as it should be: ${String(error)}`);
}

it('the knexfile of docs/throttling.md is read as it stands', async () => {
  const page = readFileSync(path.join(import.meta.dirname, '../../docs/throttling.md'), 'utf8');
  writeFileSync(path.join(cwd, 'knexfile.mjs'), /```js\n([^]*?)```/.exec(page)?.[1] ?? '');
  const { tuning, throttle } = await load({ DATABASE_URL: 'postgres://u@h/d' });
  expect(tuning).toMatchObject({ maxLagBytes: 32_000_000, maxLagMs: 10_000, maxActiveSessions: 64 });
  expect(throttle).toMatchObject({
    asked: ['maxLagBytes', 'maxLagMs', 'maxActiveSessions'],
    critical: { maxActiveSessions: 200 },
    query: expect.stringContaining('from jobs'),
    file: path.join(cwd, 'hold-migrations'),
    hours: { text: '22:00-06:00', timeZone: 'Europe/Berlin', spans: [[1_320, 360]] },
  });
});

describe('throttle', () => {
  it('may be set by variables, which can turn a default off', async () => {
    const { tuning, throttle } = await load({
      UMZUG_CLUSTER_MAX_LAG_BYTES: 'off',
      UMZUG_CLUSTER_MAX_LAG_MS: '1m',
    });
    expect(tuning).toMatchObject({ maxLagBytes: null, maxLagMs: 60_000 });
    expect(throttle.asked).toEqual(['maxLagBytes', 'maxLagMs']);
  });

  it('is off as a whole at full speed', async () => {
    section(`{ file: 'x', duringVacuum: 'hold', critical: { maxLagBytes: 5 } }`);
    for (const given of [load({}, { 'full-speed': true }), load({ UMZUG_CLUSTER_FULL_SPEED: 'true' })]) {
      const { tuning, throttle } = await given;
      expect(tuning.fullSpeed).toBe(true);
      expect(throttle).toMatchObject({ file: null, duringVacuum: 'ignore', critical: {} });
    }
  });

  it.each([
    ['5', 'throttle must be an object: got number'],
    ['{ maxLagByte: 5 }', 'unknown key "maxLagByte", did you mean "maxLagBytes"?'],
    ['{ maxLagBytes: 0 }', 'throttle.maxLagBytes must be a whole number from 1 to'],
    ['{ maxLagMs: "10 bananas" }', 'throttle.maxLagMs must be a whole number'],
    ['{ critical: { maxHoldMs: 5 } }', 'throttle.critical: unknown key "maxHoldMs"'],
    ['{ critical: { maxLagBytes: -1 } }', 'throttle.critical.maxLagBytes must be a whole number'],
    ['{ duringVacuum: true }', `throttle.duringVacuum must be 'ignore', 'slow' or 'hold'`],
    ['{ query: "" }', 'throttle.query must be a statement of SQL'],
    ['{ file: 5 }', 'throttle.file must be the path of a file'],
    ['{ url: "ftp://x/" }', 'throttle.url must be an http or https URL'],
    ['{ url: "http://u:secret@x/" }', 'throttle.url must be an http or https URL without user and password'],
    ['{ check: "yes" }', 'throttle.check must be a function'],
    ['{ hours: "22-06", timeZone: "UTC" }', 'throttle.hours must be hours of the day'],
    ['{ hours: "22:00-06:00" }', `throttle.timeZone must be a time zone such as 'Europe/Berlin'`],
    ['{ hours: "22:00-06:00", timeZone: "Berlin/Europe" }', 'throttle.timeZone must be a time zone'],
  ])('of %s is refused', async (text, message) => {
    section(text);
    const error = await refusal();
    expect(error.message).toContain(message);
    expect(error.message).not.toContain('secret');
  });

  it('is changed during a run as strictly as it is read', () => {
    const change = (...texts: readonly string[]) => parseOverridesChange(texts, { ceilingMs: 60_000 });
    expect(change('maxLagMs=10s', 'maxLagBytes=off', 'maxSlotBytes=default')).toEqual({
      set: { maxLagMs: 10_000, maxLagBytes: null },
      cleared: ['maxSlotBytes'],
    });
    expect(() => change('maxLagBytes=0')).toThrow('maxLagBytes must be a whole number from 1 to');
    expect(() => change('fullSpeed=true')).toThrow('fullSpeed cannot be changed during a run');
  });

  it('is where a limit belongs', async () => {
    writeFileSync(
      path.join(cwd, 'knexfile.mjs'),
      `export default { client: 'pg', migrations: { cluster: { maxLagBytes: 5 } } };`,
    );
    const { message, hint } = await refusal();
    expect(message).toBe('knexfile.mjs: migrations.cluster.maxLagBytes belongs in its section throttle');
    expect(hint).toBe('throttle: { maxLagBytes: … }');
  });
});
