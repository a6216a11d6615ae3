import type { Command } from '../frame/command.ts';

/** `executed`: one name a line, or umzug's `[{ name, path }]` with `--json`. Writes nothing to the database. */
export const executed: Command = {
  command: 'executed',
  describe: 'list executed migrations, in order',
  options: {},
  examples: [['executed --json', 'as an array of { name, path }']],
  run: async (flags, all) => {
    const { inEachTarget } = await import('../frame/each-target.ts');
    const { printJson, printLine } = await import('../frame/output.ts');
    await inEachTarget(flags, all, { again: 'executed' }, async ({ migrator, config, io }) => {
      const migrations = await migrator.executed();
      if (config.output.json)
        return printJson(
          io,
          migrations.map(({ name, path }) => ({ name, path })),
        );
      for (const { name } of migrations) printLine(io, name);
    });
  },
};
