import type { Options } from 'yargs';
import { durationExamples } from '../../core/config/duration.ts';
import { type GlobalFlag, globalFlags } from '../../core/config/flags.ts';
import { settings } from '../../core/config/settings.ts';
import { switchFlag, valueFlag } from './command.ts';

const descriptions: Readonly<Record<string, string>> = {
  workers: 'maximum worker processes (default: up to one per core, added when useful)',
  'chunk-size': 'fixed number of rows per chunk (default: adaptive)',
  'target-ms': 'target time of a chunk in ms (default: 500)',
  'targets-at-once': 'targets that are worked on at a time (default: 4)',
  pace: 'maximum rows per second, across all hosts (default: unlimited)',
  grace: `after a signal, time for running chunks to finish (${durationExamples}; default: 20s)`,
  'full-speed': 'no limit of throttle applies, neither by default nor by the knexfile',
  'max-time': `stop cleanly after this time, resumable (${durationExamples})`,
};

/** Flags of every command. Each also has a variable: see `core/config/flags`. */
export const globalOptions: Readonly<Record<string, Options>> = {
  ...Object.fromEntries(globalFlags.map((flag: GlobalFlag) => [flag.name, optionOf(flag)])),
  ...tuningFlags(),
};

function optionOf({ kind, choices, describe }: GlobalFlag): Options {
  return kind === 'switch'
    ? switchFlag(describe)
    : valueFlag(describe, choices === undefined ? {} : { choices });
}

function tuningFlags(): Record<string, Options> {
  const flags = settings.flatMap(({ flag, kind, reason }) => {
    if (flag === null) return [];
    const describe = descriptions[flag] ?? reason;
    return [[flag, kind === 'switch' ? switchFlag(describe) : valueFlag(describe)] as const];
  });
  return Object.fromEntries(flags);
}
