import type { Command } from '../frame/command.ts';

/** `pending`: one name a line, or umzug's `[{ name, path }]` with `--json`. Writes nothing to the database. */
export const pending: Command = {
  command: 'pending',
  describe: 'list migrations that have not been executed yet, in order',
  options: {},
  examples: [['pending --json', 'as an array of { name, path }']],
  run: async (flags, all) => {
    const { inEachTarget } = await import('../frame/each-target.ts');
    const { printJson, printLine, printNote } = await import('../frame/output.ts');
    await inEachTarget(flags, all, { again: 'pending' }, async ({ migrator, config, io }) => {
      const migrations = await migrator.pending();
      if (config.output.json)
        return printJson(
          io,
          migrations.map(({ name, path }) => ({ name, path })),
        );
      for (const { name } of migrations) printLine(io, name);
      const recorded = migrations.length === 0 ? null : await migrator.recordedElsewhere();
      if (recorded !== null) printNote(io, `${recorded.message}; ${recorded.hint}`);
    });
  },
};
