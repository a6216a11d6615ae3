import type { Command } from '../frame/command.ts';

/** `cancel`: gives a run up on all hosts, until somebody decides what becomes of it. */
export const cancel: Command = {
  command: 'cancel <migration>',
  describe: 'give a begun migration up, on all hosts; what is done stays done',
  options: {},
  positionals: { migration: 'name of the migration, without extension' },
  examples: [
    ['cancel NAME', 'from any host; up refuses to go on until you decide:'],
    ['down --name NAME', 'take back what was done'],
    ['resume NAME', 'or go on after all'],
  ],
  run: async (flags, io) => {
    const { tellRun } = await import('./operate.ts');
    await tellRun(flags, io, 'cancel');
  },
};
