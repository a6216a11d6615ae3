import type { Options } from 'yargs';
import { durationExamples } from '../../core/config/duration.ts';
import { logFormats } from '../../core/config/log-format.ts';
import { settings } from '../../core/config/settings.ts';
import { switchFlag, valueFlag } from './command.ts';

const descriptions: Readonly<Record<string, string>> = {
  workers: 'maximum worker processes (default: up to one per core, added when useful)',
  'chunk-size': 'fixed number of rows per chunk (default: adaptive)',
  'target-ms': 'target time of a chunk in ms (default: 500)',
  pace: 'maximum rows per second, across all hosts (default: unlimited)',
  grace: `after a signal, time for running chunks to finish (${durationExamples}; default: 20s)`,
  'max-time': `stop cleanly after this time, resumable (${durationExamples})`,
};

/** Flags of every command. Those of `core/settings` are read from its table. */
export const globalOptions: Readonly<Record<string, Options>> = {
  knexfile: valueFlag('knexfile to read (default: knexfile.ts, .js, .mjs or .cjs in this folder)'),
  env: valueFlag('environment of the knexfile (default: NODE_ENV, then development)'),
  migrations: valueFlag('folder of the migrations (default: migrations)'),
  ...tuningFlags(),
  json: switchFlag('print one JSON document to stdout'),
  'log-format': valueFlag('log format (default: json in production, else for people)', {
    choices: logFormats,
  }),
  'log-level': valueFlag('minimum log level', {
    choices: ['debug', 'info', 'warn', 'error', 'silent'],
  }),
  verbose: switchFlag('log more, and show stack traces'),
  'no-progress': switchFlag('log lines instead of a progress bar'),
};

function tuningFlags(): Record<string, Options> {
  const flags = settings.flatMap(({ flag, kind, reason }) => {
    if (flag === null) return [];
    const describe = descriptions[flag] ?? reason;
    return [[flag, kind === 'switch' ? switchFlag(describe) : valueFlag(describe)] as const];
  });
  return Object.fromEntries(flags);
}
