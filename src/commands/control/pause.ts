import type { Command } from '../frame/command.ts';

/** `pause`: holds a run on all hosts. */
export const pause: Command = {
  command: 'pause <migration>',
  describe: 'pause a running migration on all hosts until resume',
  options: {},
  positionals: { migration: 'name of the migration, without extension' },
  examples: [['pause NAME', 'from any host; every up that works on it, or meets it later, exits with 5']],
  run: async (flags, io) => {
    const { tellRun } = await import('./operate.ts');
    await tellRun(flags, io, 'pause');
  },
};
