import path from 'node:path';
import { type GaugeName, type LimitName, gaugeNames, limitNames, settings } from '../core/config/settings.ts';
import { type Hours, isTimeZone, parseSpan } from '../core/throttle/hours.ts';
import type { AskedLimits } from '../core/throttle/limits.ts';
import { didYouMean } from '../core/values/names.ts';
import { type UmzugClusterError, fail } from '../errors.ts';
import type { Knexfile } from './knexfile.ts';
import { readSetting } from './tuning.ts';

/** `migrations.cluster.throttle` of a knexfile: what holds a run back, beside the limits that hold by default. */
export interface ThrottleOptions extends Readonly<Partial<Record<LimitName, number | string | null>>> {
  /** Beyond these a run is stopped, resumable. */
  readonly critical?: Readonly<Partial<Record<GaugeName, number | string>>>;
  /** While the table is vacuumed. Default: slow down for a vacuum against wraparound only. */
  readonly duringVacuum?: 'ignore' | 'slow' | 'hold';
  /** SQL. Its first value: null, 0 or false lets the run work, anything else holds it; a text is the reason. */
  readonly query?: string;
  /** Path of a file that holds the run while it exists. */
  readonly file?: string;
  /** URL that holds the run by any answer other than 2xx, and by `hold: reason`. */
  readonly url?: string | URL;
  /** As `query`, by a function. */
  readonly check?: (context: { readonly migration: string; readonly signal: AbortSignal }) => unknown;
  /** `22:00-06:00`, or several of those: a run works within them only. */
  readonly hours?: string | readonly string[];
  /** Time zone of `hours`, such as `Europe/Berlin`. Required with them. */
  readonly timeZone?: string;
}

/** The same, checked. */
export interface ThrottleConfig extends AskedLimits {
  readonly duringVacuum: 'auto' | 'ignore' | 'slow' | 'hold';
  readonly query: string | null;
  readonly file: string | null;
  readonly url: URL | null;
  readonly check: ThrottleOptions['check'] | null;
  readonly hours: Hours | null;
}

/** What a run is held back by where nobody has asked for anything. */
export const nothingAsked: ThrottleConfig = {
  asked: [],
  critical: {},
  duringVacuum: 'auto',
  query: null,
  file: null,
  url: null,
  check: null,
  hours: null,
};

type Section = Readonly<Record<string, unknown>>;

const ownKeys = ['critical', 'duringVacuum', 'query', 'file', 'url', 'check', 'hours', 'timeZone'] as const;

/** `migrations.cluster.throttle`, checked to be an object of known keys. Throws CONFIG. */
export function throttleSection({ cluster, name }: Knexfile): Section {
  const given = cluster['throttle'];
  const label = `${name}: migrations.cluster.throttle`;
  const section = dictionary(given ?? {}, label);
  const known: readonly string[] = [...limitNames, ...ownKeys];
  for (const key of Object.keys(section)) {
    if (known.includes(key)) continue;
    throw fail('CONFIG', {
      message: `${label}: unknown key "${key}"${didYouMean(key, known)}`,
      detail: `throttle accepts: ${known.join(', ')}`,
      hint: 'see docs/throttling.md',
    });
  }
  return section;
}

/** Reads what is no plain number; `asked`: the limits that somebody has asked for. With `fullSpeed` nothing of it holds. */
export function readThrottle(
  knexfile: Knexfile,
  section: Section,
  { asked, fullSpeed }: { readonly asked: readonly LimitName[]; readonly fullSpeed: boolean },
): ThrottleConfig {
  const label = `${knexfile.name}: migrations.cluster.throttle`;
  const read: ThrottleConfig = {
    asked,
    critical: readCritical(section['critical'], `${label}.critical`),
    duringVacuum: readVacuum(section['duringVacuum'], `${label}.duringVacuum`),
    query: readText(section['query'], `${label}.query`, 'a statement of SQL'),
    file: readFileName(section['file'], label, knexfile.path),
    url: readUrl(section['url'], `${label}.url`),
    check: readCheck(section['check'], `${label}.check`),
    hours: readHours(section, label),
  };
  return Object.freeze(fullSpeed ? { ...nothingAsked, duringVacuum: 'ignore' } : read);
}

function readCritical(given: unknown, label: string): ThrottleConfig['critical'] {
  const critical = dictionary(given ?? {}, label);
  const found = Object.entries(critical).map(([key, raw]) => {
    const name = gaugeNames.find((one) => one === key);
    const setting = settings.find((one) => one.name === key);
    if (name === undefined || setting === undefined) {
      const message = `${label}: unknown key "${key}"${didYouMean(key, gaugeNames)}`;
      throw fail('CONFIG', { message, detail: `critical accepts: ${gaugeNames.join(', ')}` });
    }
    return [name, readSetting(setting, raw, { label: `${label}.${key}`, code: 'CONFIG' })] as const;
  });
  return Object.fromEntries(found.filter(([, value]) => value !== null)) as ThrottleConfig['critical'];
}

function readVacuum(given: unknown, label: string): ThrottleConfig['duringVacuum'] {
  if (given === undefined) return 'auto';
  if (given === 'ignore' || given === 'slow' || given === 'hold') return given;
  throw wrong(label, "'ignore', 'slow' or 'hold'", given);
}

function readText(given: unknown, label: string, wanted: string): string | null {
  if (given === undefined || given === null) return null;
  if (typeof given === 'string' && given.trim() !== '') return given;
  throw wrong(label, wanted, given);
}

/** Relative to the knexfile. */
function readFileName(given: unknown, label: string, knexfile: string | null): string | null {
  const name = readText(given, `${label}.file`, 'the path of a file');
  return name === null
    ? null
    : path.resolve(knexfile === null ? process.cwd() : path.dirname(knexfile), name);
}

function readUrl(given: unknown, label: string): URL | null {
  if (given === undefined || given === null) return null;
  const isText = typeof given === 'string' || given instanceof URL;
  const url = isText && URL.canParse(String(given)) ? new URL(given) : null;
  if (url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '')
    return url;
  throw wrong(label, 'an http or https URL without user and password', given);
}

function readCheck(given: unknown, label: string): ThrottleConfig['check'] {
  if (given === undefined || given === null) return null;
  if (typeof given === 'function') return given as NonNullable<ThrottleOptions['check']>;
  throw wrong(label, 'a function', given);
}

function readHours(section: Section, label: string): Hours | null {
  const { hours, timeZone } = section;
  if (hours === undefined || hours === null) return null;
  const texts: readonly unknown[] = Array.isArray(hours) ? hours : [hours];
  const spans = texts.flatMap((text) => {
    const span = typeof text === 'string' ? parseSpan(text) : null;
    return span === null ? [] : [span];
  });
  if (spans.length === 0 || spans.length < texts.length) {
    throw wrong(`${label}.hours`, "hours of the day such as '22:00-06:00', or a list of those", hours);
  }
  if (typeof timeZone !== 'string' || !isTimeZone(timeZone)) {
    throw wrong(`${label}.timeZone`, "a time zone such as 'Europe/Berlin': hours are of one place", timeZone);
  }
  return { text: texts.join(', '), timeZone, spans };
}

function dictionary(value: unknown, label: string): Section {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw wrong(label, 'an object', value);
}

/** Without the value: it may be a secret in the wrong place. */
function wrong(label: string, wanted: string, value: unknown): UmzugClusterError {
  const got = value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value;
  return fail('CONFIG', { message: `${label} must be ${wanted}: got ${got}` });
}
