import { type Command, switchFlag } from '../frame/command.ts';

/** `init`: sets an existing project up. Overwrites nothing, opens no database. */
export const init: Command = {
  command: 'init',
  describe: 'set up this project (knexfile, folder, scripts, .gitignore); overwrites nothing',
  options: { yes: switchFlag('write without asking; without a terminal nobody is asked') },
  insteadOf: () => 'umzug-cluster init',
  examples: [['init', 'in the folder of package.json; safe to run twice']],
  run: async (flags, io) => {
    const { initProject } = await import('./init-project.ts');
    await initProject(flags, io);
  },
};
