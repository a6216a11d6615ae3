import type { Command } from '../frame/command.ts';

/** `cancel`: abandons a run on all hosts, until somebody decides what becomes of it. */
export const cancel: Command = {
  command: 'cancel <migration>',
  describe: 'park a started migration on all hosts, or abandon a rollback that has done nothing',
  options: {},
  positionals: { migration: 'name of the migration, without extension' },
  examples: [
    ['cancel NAME', 'from any host; it is parked, and up exits with 5, until you decide:'],
    ['down --name NAME', 'roll back what was done'],
    ['resume NAME', 'or resume it after all'],
    ['up --past NAME', 'or run what comes after it, and leave it parked'],
  ],
  run: async (flags, io) => {
    const { tellRun } = await import('./operate.ts');
    await tellRun(flags, io, 'cancel');
  },
};
