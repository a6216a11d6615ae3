import { durationExamples, formatDuration, parseDuration } from '../core/config/duration.ts';
import { defaultTuning, settings } from '../core/config/settings.ts';
import type { NumberSetting, Setting, Tuning } from '../core/config/settings.ts';
import { stripControls } from '../core/errors/redact.ts';
import { fail } from '../errors.ts';
import type { UmzugClusterError } from '../errors.ts';
import { didYouMean } from '../core/values/names.ts';

/** Where a value was written: its name in messages, and the code of the error about it. */
interface Place {
  readonly label: string;
  readonly code: 'USAGE' | 'CONFIG';
}

/** The three places that may set tuning, each raw as its owner wrote it. */
export interface TuningSources {
  readonly cores: number;
  /** `migrations.cluster` of the knexfile. */
  readonly knexfile: Readonly<Record<string, unknown>>;
  /** `migrations.cluster.throttle` of it. */
  readonly throttle: Readonly<Record<string, unknown>>;
  /** Name of the knexfile in messages. */
  readonly knexfileName: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** By flag name without dashes; texts as typed. */
  readonly flags: Readonly<Record<string, unknown>>;
}

/** Defaults < knexfile < environment < flags. Throws CONFIG or USAGE, naming the place and the range. */
export function readTuning(sources: TuningSources): Tuning {
  refuseUnknownKeys(sources);
  const read: Record<string, unknown> = { ...defaultTuning(sources.cores) };
  for (const setting of settings) {
    for (const [raw, place] of writtenIn(setting, sources))
      read[setting.name] = readSetting(setting, raw, place);
  }
  // Every value came from the table or from readSetting, which knows the type that the table says.
  const tuning = read as unknown as Tuning;
  if (tuning.targetMs > tuning.ceilingMs) {
    throw fail('CONFIG', {
      message: `targetMs (${tuning.targetMs}) is larger than ceilingMs (${tuning.ceilingMs})`,
      detail: 'a chunk that takes its target time would be aborted',
      hint: 'lower targetMs, or raise ceilingMs',
    });
  }
  return Object.freeze(tuning);
}

/** Whether anybody has asked for this setting, at any of the three places. */
export function isAsked(name: keyof Tuning, sources: TuningSources): boolean {
  return settings.some((setting) => setting.name === name && writtenIn(setting, sources).length > 0);
}

/** Lowest authority first, so that the last one wins. An empty variable counts as not set. */
function writtenIn(setting: Setting, sources: TuningSources): (readonly [unknown, Place])[] {
  const { section } = setting;
  const path = section === null ? setting.name : `${section}.${setting.name}`;
  const inKnexfile = `${sources.knexfileName}: migrations.cluster.${path}`;
  const place = section === null ? sources.knexfile : sources.throttle;
  const flag = setting.flag === null ? undefined : sources.flags[setting.flag];
  const found: (readonly [unknown, Place])[] = [
    [place[setting.name], { label: inKnexfile, code: 'CONFIG' }],
    [sources.env[setting.env] || undefined, { label: setting.env, code: 'CONFIG' }],
    [flag, { label: `--${setting.flag}`, code: 'USAGE' }],
  ];
  return found.filter(([raw]) => raw !== undefined);
}

/** Parses one value strictly: no NaN, no fractions, no lists, nothing out of range. */
export function readSetting(setting: Setting, raw: unknown, place: Place): number | boolean | null {
  if (Array.isArray(raw)) throw repeated(place);
  if (setting.kind === 'switch') {
    if (raw === true || raw === 'true' || raw === '1') return true;
    if (raw === false || raw === 'false' || raw === '0') return false;
    throw fail(place.code, { message: `${place.label} must be true or false: got ${show(raw)}` });
  }
  if (setting.canBeOff && (raw === null || raw === 'off')) return null;
  const value = toNumber(setting, raw);
  if (value === null || value < setting.min || value > setting.max) throw outOfRange(setting, raw, place);
  return value;
}

function toNumber(setting: NumberSetting, raw: unknown): number | null {
  if (typeof raw === 'number') return Number.isSafeInteger(raw) ? raw : null;
  if (typeof raw !== 'string') return null;
  if (setting.kind !== 'duration' && /^\d{1,15}$/.test(raw)) return Number(raw);
  return setting.kind === 'integer' ? null : parseDuration(raw);
}

function outOfRange(setting: NumberSetting, raw: unknown, place: Place): UmzugClusterError {
  const { kind, min, max } = setting;
  const range =
    kind === 'duration'
      ? `a duration from ${min} ms to ${formatDuration(max)}`
      : `a whole number from ${min} to ${max} (${setting.unit})`;
  const hints = {
    integer:
      setting.default === null
        ? setting.reason
        : `default: ${setting.default === 'cores' ? 'the cores available' : setting.default}`,
    milliseconds: `default: ${setting.default ?? 'off'}`,
    duration: `for example ${durationExamples}`,
  };
  return fail(place.code, {
    message: `${place.label} must be ${range}: got ${show(raw)}`,
    hint: hints[kind],
  });
}

function repeated(place: Place): UmzugClusterError {
  return fail(place.code, { message: `${place.label} must be one value: it is given more than once` });
}

function show(raw: unknown): string {
  if (typeof raw === 'string') return JSON.stringify(stripControls(raw).slice(0, 60));
  return typeof raw === 'object' && raw !== null ? 'an object' : String(raw);
}

function refuseUnknownKeys({ knexfile, knexfileName }: TuningSources): void {
  const own = settings.filter(({ section }) => section === null).map(({ name }) => name as string);
  const names = [...own, 'directory', 'embedded', 'notify', 'targets', 'throttle'];
  for (const key of Object.keys(knexfile)) {
    if (names.includes(key)) continue;
    if (settings.some(({ name }) => name === key)) {
      const message = `${knexfileName}: migrations.cluster.${key} belongs in its section throttle`;
      throw fail('CONFIG', { message, hint: `throttle: { ${key}: … }` });
    }
    throw fail('CONFIG', {
      message: `${knexfileName}: unknown key "${key}"${didYouMean(key, names)}`,
      detail: `migrations.cluster accepts: ${names.join(', ')}`,
    });
  }
}
