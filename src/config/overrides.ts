import { didYouMean } from '../core/values/names.ts';
import { stripControls } from '../core/errors/redact.ts';
import { type Setting, type Tuning, settings } from '../core/config/settings.ts';
import { type Overrides, type Steerable, steerable } from '../core/config/steering.ts';
import { fail } from '../errors.ts';
import type { UmzugClusterError } from '../errors.ts';
import { readSetting } from './tuning.ts';

/** What `set` is to change: `set` replaces keys, `cleared` goes back to what each host has configured. */
export interface OverridesChange {
  readonly set: Overrides;
  readonly cleared: readonly Steerable[];
}

const example = 'for example: chunkSize=500 pace=2000';

/**
 * Parses `chunkSize=500`, `pace=off` and `workers=default` as strictly as the knexfile is read; a key may also be
 * written as its flag. Throws USAGE.
 */
export function parseOverridesChange(
  texts: readonly string[],
  limits: Pick<Tuning, 'ceilingMs'>,
): OverridesChange {
  const set: Partial<Record<Steerable, number | null>> = {};
  const cleared: Steerable[] = [];
  for (const text of texts) {
    const [, key, raw] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
    if (key === undefined || raw === undefined || key === '') throw malformed(text);
    const name = steerableOf(key);
    if (name in set || cleared.includes(name)) {
      throw fail('USAGE', { message: `${name} is given more than once`, hint: `give ${name} once` });
    }
    if (raw === 'default') cleared.push(name);
    else set[name] = readValue(name, raw);
  }
  const { targetMs } = set;
  if (typeof targetMs === 'number' && targetMs > limits.ceilingMs) {
    throw fail('USAGE', {
      message: `targetMs (${targetMs}) is larger than ceilingMs (${limits.ceilingMs})`,
      detail: 'a chunk that takes its target time would be aborted',
      hint: 'lower targetMs',
    });
  }
  return { set, cleared };
}

function readValue(name: Steerable, raw: string): number | null {
  const setting = settings.find((one) => one.name === name) as Setting;
  const value = readSetting(setting, raw, { label: name, code: 'USAGE' });
  return typeof value === 'number' ? value : null;
}

function steerableOf(key: string): Steerable {
  const setting = settings.find(({ name, flag }) => name === key || flag === key);
  const found = steerable.find((name) => name === setting?.name);
  if (found !== undefined) return found;
  if (setting !== undefined) {
    throw fail('USAGE', {
      message: `${setting.name} cannot be changed during a run`,
      detail: `set knows: ${steerable.join(', ')}`,
      hint: 'stop the run, change it in the knexfile, and run `up` again',
    });
  }
  throw fail('USAGE', {
    message: `unknown setting "${stripControls(key).slice(0, 60)}"${didYouMean(key, steerable)}`,
    detail: `set knows: ${steerable.join(', ')}`,
  });
}

function malformed(text: string): UmzugClusterError {
  return fail('USAGE', {
    message: `settings are written key=value: got "${stripControls(text).slice(0, 60)}"`,
    detail: `set knows: ${steerable.join(', ')}`,
    hint: example,
  });
}
