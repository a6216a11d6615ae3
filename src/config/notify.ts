import path from 'node:path';
import { formatDuration, parseDuration } from '../core/config/duration.ts';
import { type NotifyEvent, notifyEvents } from '../core/config/notify-events.ts';
import { didYouMean } from '../core/values/names.ts';
import { type UmzugClusterError, fail } from '../errors.ts';
import type { Knexfile } from './knexfile.ts';

/** Who is told: a web server, a program, or a function of the knexfile. */
export type NotifyTarget =
  | {
      readonly kind: 'webhook';
      readonly url: URL;
      readonly secret: string | null;
      readonly template: 'slack' | 'teams' | null;
    }
  | {
      readonly kind: 'command';
      readonly argv: readonly [string, ...string[]];
      readonly cwd: string;
      readonly env: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'function'; readonly call: (notification: unknown, signal: AbortSignal) => unknown };

/** `migrations.cluster.notify`. */
export interface NotifyConfig {
  readonly targets: Readonly<Partial<Record<NotifyEvent, readonly NotifyTarget[]>>>;
  /** How long chunks are held back before somebody is told. */
  readonly throttledAfterMs: number;
}

const defaultAfterMs = 10 * 60_000;
const mostAfterMs = 7 * 24 * 3_600_000;

/** Reads `migrations.cluster.notify`; null: nobody is to be told of anything. Throws CONFIG, naming the key. */
export function readNotify(knexfile: Knexfile, env: NodeJS.ProcessEnv): NotifyConfig | null {
  const given = knexfile.cluster['notify'];
  if (given === undefined || given === null) return null;
  const place: Place = { label: `${knexfile.name}: migrations.cluster.notify`, knexfile, env };
  const { throttledAfter, ...events } = dictionary(given, place, 'an object that names events');
  const names = Object.keys(notifyEvents) as NotifyEvent[];
  for (const event of Object.keys(events)) {
    if (names.includes(event as NotifyEvent)) continue;
    throw fail('CONFIG', {
      message: `${place.label}: unknown event "${event}"${didYouMean(event, names)}`,
      detail: `events: ${names.join(', ')}; beside them: throttledAfter`,
    });
  }
  const seen = new Map<unknown, NotifyTarget>();
  const read = (event: string, value: unknown): readonly NotifyTarget[] => {
    const targets = Array.isArray(value) ? (value as unknown[]) : [value ?? []].flat();
    return targets.map((target, index) => {
      const label = `${place.label}.${event}${Array.isArray(value) ? `[${index}]` : ''}`;
      // What is written once and used for several events is one target: its messages stay in order.
      const known = seen.get(target) ?? readTarget(target, { ...place, label });
      seen.set(target, known);
      return known;
    });
  };
  const targets = Object.fromEntries(
    Object.entries(events).map(([event, value]) => [event, read(event, value)]),
  );
  return Object.freeze({ targets, throttledAfterMs: readAfter(throttledAfter, place) });
}

interface Place {
  readonly label: string;
  readonly knexfile: Knexfile;
  readonly env: NodeJS.ProcessEnv;
}

const kinds = "{ url: 'https://…' }, { command: ['program', 'argument'] } or a function";

function readTarget(value: unknown, place: Place): NotifyTarget {
  if (typeof value === 'function')
    return { kind: 'function', call: value as (notification: unknown) => unknown };
  const target = dictionary(value, place, kinds);
  const isCommand = 'command' in target;
  const known = isCommand ? ['command', 'env'] : ['url', 'secret', 'template'];
  for (const key of Object.keys(target)) {
    if (known.includes(key)) continue;
    const message = `${place.label}: unknown key "${key}"${didYouMean(key, known)}`;
    throw fail('CONFIG', {
      message,
      detail: `it may be ${kinds}`,
      hint: `here it accepts: ${known.join(', ')}`,
    });
  }
  return isCommand ? readCommand(target, place) : readWebhook(target, place);
}

function readWebhook(target: Record<string, unknown>, { label }: Place): NotifyTarget {
  const { template = null } = target;
  if (template !== null && template !== 'slack' && template !== 'teams') {
    throw wrong(`${label}.template`, "'slack' or 'teams', or left out for JSON", template);
  }
  const secret = target['secret'] ?? null;
  // A variable that is missing must not turn signatures off in silence.
  if ('secret' in target && (typeof secret !== 'string' || secret === '')) {
    throw fail('CONFIG', {
      message: `${label}.secret must be a text that is not empty: got ${typeOf(target['secret'])}`,
      hint: 'set the variable that it reads, or leave secret out to send without a signature',
    });
  }
  return {
    kind: 'webhook',
    url: readUrl(target['url'], `${label}.url`),
    secret: secret as string | null,
    template,
  };
}

/** Messages never show it: whoever knows its path may post there. */
function readUrl(value: unknown, label: string): URL {
  const url =
    (typeof value === 'string' || value instanceof URL) && URL.canParse(String(value))
      ? new URL(value)
      : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw fail('CONFIG', {
      message: `${label} must be an http or https URL: got ${typeOf(value)}`,
      hint: 'write it in full; if it is in a variable that may be missing, leave the target out: url ? { url } : []',
    });
  }
  if (url.username === '' && url.password === '') return url;
  throw fail('CONFIG', {
    message: `${label} must have no user and no password`,
    hint: 'set secret: the receiver can then verify the signature',
  });
}

function readCommand(target: Record<string, unknown>, { label, knexfile, env }: Place): NotifyTarget {
  const { command, env: own = {} } = target;
  const isText = (part: unknown): part is string => typeof part === 'string' && !part.includes('\0');
  if (!Array.isArray(command) || !command.every(isText) || !command[0]) {
    throw wrong(
      `${label}.command`,
      "a list of texts, such as ['./notify.sh', 'ops']: no shell reads it",
      command,
    );
  }
  const given = dictionary(own, { label: `${label}.env` }, 'an object of texts');
  for (const [name, value] of Object.entries(given)) {
    if (!isText(value)) throw wrong(`${label}.env.${name}`, 'a text', value);
  }
  const cwd = knexfile.path === null ? process.cwd() : path.dirname(knexfile.path);
  const argv = command as [string, ...string[]];
  return { kind: 'command', argv, cwd, env: { ...few(env), ...(given as Record<string, string>) } };
}

/** What programs need to find themselves; the database's password, for one, is nothing to them. */
function few(env: NodeJS.ProcessEnv): Record<string, string> {
  const names = ['PATH', 'HOME', 'LANG', 'TZ', 'SystemRoot'];
  return Object.fromEntries(names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}

function readAfter(value: unknown, { label }: Place): number {
  if (value === undefined) return defaultAfterMs;
  const ms = typeof value === 'string' ? parseDuration(value) : value;
  if (typeof ms === 'number' && Number.isSafeInteger(ms) && ms >= 1 && ms <= mostAfterMs) return ms;
  const wanted = `a duration from 1 ms to ${formatDuration(mostAfterMs)}, such as '10m'`;
  throw wrong(`${label}.throttledAfter`, wanted, value);
}

function dictionary(
  value: unknown,
  { label }: Pick<Place, 'label'>,
  wanted: string,
): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw wrong(label, wanted, value);
}

/** Without the value: it may be a secret in the wrong place. */
function wrong(label: string, wanted: string, value: unknown): UmzugClusterError {
  return fail('CONFIG', { message: `${label} must be ${wanted}: got ${typeOf(value)}` });
}

function typeOf(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (value === '') return 'an empty text';
  if (Array.isArray(value)) return 'a list';
  return (
    { string: 'another text', object: 'an object', function: 'a function' }[typeof value as string] ??
    String(value)
  );
}
