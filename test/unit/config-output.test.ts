import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import type { Config, ConfigInput } from '../../src/config/config.ts';

let cwd = '';
beforeEach(() => {
  cwd = mkdtempSync(path.join(os.tmpdir(), 'config-'));
});
afterEach(() => {
  rmSync(cwd, { recursive: true, force: true });
});

function load(flags: ConfigInput['flags'] = {}, env: NodeJS.ProcessEnv = {}): Promise<Config> {
  return loadConfig({ flags, cwd, env: { PGHOST: 'x', ...env } });
}

describe('output', () => {
  it('is without a bar and colour where stderr is no terminal, and JSON in production', async () => {
    const { output } = await load({}, {});
    const isTerminal = process.stderr.isTTY === true;
    expect(output).toMatchObject({ json: false, logLevel: 'info', progress: isTerminal, color: isTerminal });
    const production = { cwd, flags: {}, env: { NODE_ENV: 'production', PGHOST: 'x' }, isTerminal: false };
    expect((await loadConfig(production)).output.logFormat).toBe('json');
  });

  it('follows the variable of a flag, and the flag before it', async () => {
    const env = { UMZUG_CLUSTER_LOG_FORMAT: 'json', UMZUG_CLUSTER_VERBOSE: '1', UMZUG_CLUSTER_JSON: 'false' };
    expect((await load({}, env)).output).toMatchObject({ logFormat: 'json', verbose: true, json: false });
    expect((await load({ 'log-format': 'pretty' }, env)).output.logFormat).toBe('pretty');
  });

  it('follows FORCE_COLOR, NO_COLOR and the flags', async () => {
    expect((await load({}, { FORCE_COLOR: '1', NO_COLOR: '1' })).output.color).toBe(true);
    expect((await load({}, { NO_COLOR: '1' })).output.color).toBe(false);
    const { output } = await load({ verbose: true, json: true, 'log-format': 'pretty', 'no-progress': true });
    expect(output).toMatchObject({ json: true, logFormat: 'pretty', logLevel: 'debug', progress: false });
  });
});
