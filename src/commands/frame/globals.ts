import type { Options } from 'yargs';
import { durationExamples } from '../../core/config/duration.ts';
import { settings } from '../../core/config/settings.ts';
import { switchFlag, valueFlag } from './command.ts';

const descriptions: Readonly<Record<string, string>> = {
  workers: 'working processes (default: one a core at most, where they pay)',
  'chunk-size': 'fixed rows a chunk (default: adapts)',
  'target-ms': 'time in ms that a chunk aims at (default: 500)',
  pace: 'most rows per second of a run, over all hosts (default: as fast as it goes)',
  grace: `after a signal, time for running chunks (${durationExamples}; default: 20s)`,
  'max-time': `stop cleanly after this time, resumable (${durationExamples})`,
};

/** Flags of every command. Those of `core/settings` are read from its table. */
export const globalOptions: Readonly<Record<string, Options>> = {
  knexfile: valueFlag('knexfile to read (default: knexfile.ts, .js, .mjs, .cjs here)'),
  env: valueFlag('environment of the knexfile (default: NODE_ENV, then development)'),
  migrations: valueFlag('folder of the migrations (default: migrations)'),
  ...tuningFlags(),
  json: switchFlag('print one JSON document to stdout'),
  'log-format': valueFlag('how log lines look (default: pretty on a terminal)', {
    choices: ['pretty', 'json'],
  }),
  'log-level': valueFlag('least level that is logged', {
    choices: ['debug', 'info', 'warn', 'error', 'silent'],
  }),
  verbose: switchFlag('log more, and show stack traces'),
  'no-progress': switchFlag('log lines instead of a bar'),
};

function tuningFlags(): Record<string, Options> {
  const flags = settings.flatMap(({ flag, kind, reason }) => {
    if (flag === null) return [];
    const describe = descriptions[flag] ?? reason;
    return [[flag, kind === 'switch' ? switchFlag(describe) : valueFlag(describe)] as const];
  });
  return Object.fromEntries(flags);
}
