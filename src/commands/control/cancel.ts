import type { Command } from '../frame/command.ts';

/** `cancel`: abandons a run on all hosts, until somebody decides what becomes of it. */
export const cancel: Command = {
  command: 'cancel <migration>',
  describe: 'abandon a started migration on all hosts; finished work is kept',
  options: {},
  positionals: { migration: 'name of the migration, without extension' },
  examples: [
    ['cancel NAME', 'from any host; up refuses to resume it until you decide:'],
    ['down --name NAME', 'roll back what was done'],
    ['resume NAME', 'or resume it after all'],
  ],
  run: async (flags, io) => {
    const { tellRun } = await import('./operate.ts');
    await tellRun(flags, io, 'cancel');
  },
};
