import { logFormats } from './log-format.ts';
import { type Setting, settings } from './settings.ts';

/** A flag that every command takes, beside those of the settings. `switch`: there or not; `text`: takes a value. */
export interface GlobalFlag {
  readonly name: string;
  readonly kind: 'text' | 'switch';
  readonly choices?: readonly string[];
  readonly describe: string;
}

/** In the order in which help lists them. */
export const globalFlags = [
  {
    name: 'knexfile',
    kind: 'text',
    describe: 'knexfile to read (default: knexfile.ts, .js, .mjs or .cjs in this folder)',
  },
  {
    name: 'env',
    kind: 'text',
    describe: 'environment of the knexfile (default: NODE_ENV, then development)',
  },
  { name: 'migrations', kind: 'text', describe: 'folder of the migrations (default: migrations)' },
  {
    name: 'targets',
    kind: 'text',
    describe: 'of the targets in the knexfile only these: a,b or tenant_* (default: all)',
  },
  {
    name: 'embedded',
    kind: 'switch',
    describe: 'use a Postgres server of this folder’s own; never in production',
  },
  { name: 'json', kind: 'switch', describe: 'print one JSON document to stdout' },
  {
    name: 'log-format',
    kind: 'text',
    choices: logFormats,
    describe: 'log format (default: json in production, else for people)',
  },
  {
    name: 'log-level',
    kind: 'text',
    choices: ['debug', 'info', 'warn', 'error', 'silent'],
    describe: 'minimum log level',
  },
  { name: 'verbose', kind: 'switch', describe: 'log more, and show stack traces' },
  { name: 'no-progress', kind: 'switch', describe: 'log lines instead of a progress bar' },
] as const satisfies readonly GlobalFlag[];

export type GlobalFlagName = (typeof globalFlags)[number]['name'];

/** The flags of `ui`, which have variables by the same rule: a secret does not belong on a command line. */
export const uiFlags = [
  {
    name: 'listen',
    kind: 'text',
    describe: 'HOST:PORT to serve the page on (default: 127.0.0.1:4949, or a free port)',
  },
  {
    name: 'token',
    kind: 'text',
    describe: 'what a browser must know to see the page; needed where others can reach it',
  },
  {
    name: 'base-path',
    kind: 'text',
    describe: 'path prefix under which a proxy shows the page, as /backfills',
  },
  { name: 'user-header', kind: 'text', describe: 'header in which the proxy in front of it names the user' },
  { name: 'read-only', kind: 'switch', describe: 'show everything and change nothing' },
] as const satisfies readonly GlobalFlag[];

/** The flag of `worker`, with the variable of the flag of `ui` that has its name. */
export const workerFlags = [
  {
    name: 'listen',
    kind: 'text',
    describe: 'HOST:PORT to serve health and metrics on (default: 127.0.0.1:4950, or a free port)',
  },
] as const satisfies readonly GlobalFlag[];

/** The variable of a flag of every command: `UMZUG_CLUSTER_MAX_TIME` for `max-time`. */
export function variableOf(flag: string): string {
  return `${variablePrefix}${flag.replaceAll('-', '_').toUpperCase()}`;
}

export const variablePrefix = 'UMZUG_CLUSTER_';

/** Before the name of an argument of a migration (`core/config/args`). */
export const argPrefix = `${variablePrefix}ARG_`;

// What Kubernetes sets in each container for a service of the name `umzug-cluster`.
const ofKubernetes = /^(?:SERVICE_(?:HOST|PORT)|PORT)(?:_.*)?$/;

/** The variables of flags and settings, in order. */
export const variables: readonly string[] = [
  ...[...globalFlags, ...uiFlags].map(({ name }) => variableOf(name)),
  ...settings.map(({ env }: Setting) => env),
];

/** The variables of this tool's prefix that mean nothing to it. */
export function unknownVariables(names: readonly string[]): readonly string[] {
  return names.filter(
    (name) =>
      name.startsWith(variablePrefix) &&
      !name.startsWith(argPrefix) &&
      !variables.includes(name) &&
      !ofKubernetes.test(name.slice(variablePrefix.length)),
  );
}
