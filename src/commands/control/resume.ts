import type { Command } from '../frame/command.ts';
import { argFlag, switchFlag } from '../frame/command.ts';

/** `resume`: resumes a run that was paused or cancelled. */
export const resume: Command = {
  command: 'resume <migration>',
  describe: 'resume a paused or cancelled migration',
  options: {
    ...argFlag,
    'no-run': switchFlag('only lift the pause; leave the work to hosts that run up'),
  },
  positionals: { migration: 'name of the migration, without extension' },
  examples: [
    ['resume NAME', 'run it here, as up does'],
    ['resume NAME --no-run', 'from a host that is not to work on it'],
  ],
  run: async (flags, io) => {
    const name = String(flags['migration']);
    if (flags['no-run'] === true) {
      const { tellRun } = await import('./operate.ts');
      return await tellRun(flags, io, 'resume');
    }
    const { runMigrations } = await import('../run/run.ts');
    await runMigrations(flags, io, {
      work: (migrator) => migrator.resume(name),
      nothingToDo: `nothing of ${name} is left to run`,
      again: `resume ${name}`,
      spared: 'USAGE',
    });
  },
};
