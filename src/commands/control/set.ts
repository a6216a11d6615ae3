import type { Command } from '../frame/command.ts';

/** `set`: changes settings of a run while it runs, on all hosts. */
export const set: Command = {
  command: 'set <migration> <settings..>',
  describe: 'change chunkSize, targetMs, workers, pace or a limit of a running migration on all hosts',
  options: {},
  positionals: {
    migration: 'name of the migration, without extension',
    settings: 'key=value, key=off, or key=default (as each host is configured)',
  },
  examples: [
    ['set NAME pace=2000', 'at most 2,000 rows per second, across all hosts'],
    ['set NAME chunkSize=500 workers=2', 'smaller chunks, two processes on each host'],
    ['set NAME maxLagBytes=64000000', 'no chunk while a replica has more WAL to replay'],
    ['set NAME pace=off chunkSize=default', 'no rate limit, chunk size as configured'],
  ],
  run: async (flags, io) => {
    const { setRun } = await import('./operate.ts');
    await setRun(flags, io);
  },
};
