import { type Command, argFlag } from '../frame/command.ts';

/** `retry`: puts quarantined rows back and runs them. */
export const retry: Command = {
  command: 'retry <migration>',
  describe: 'run the quarantined rows of a migration again',
  options: argFlag,
  positionals: { migration: 'name of the migration, without extension' },
  examples: [['retry NAME', 'after the rows or update were fixed']],
  run: async (flags, io) => {
    const name = String(flags['migration']);
    const { runMigrations } = await import('./run.ts');
    await runMigrations(flags, io, {
      work: (migrator) => migrator.retry(name),
      nothingToDo: `no row of ${name} is quarantined`,
      again: `retry ${name}`,
    });
  },
};
