import type { Command } from '../frame/command.ts';
import { switchFlag, textOf } from '../frame/command.ts';

/** `status`: what is executed, running, failed, missing. Writes nothing to the database. */
export const status: Command = {
  command: 'status [name]',
  describe: 'show what is executed, running, failed or missing',
  options: {
    watch: switchFlag('refresh every second until Ctrl-C; in a pipe, print a line for every change'),
  },
  positionals: { name: 'only this migration, with its errors and workers' },
  insteadOf: () => 'umzug-cluster status NAME',
  examples: [
    ['status', 'all migrations as a table'],
    ['status --watch', 'live'],
    ['status --targets tenant_7', 'one of several targets'],
    ['status NAME --json', 'one migration, for a program'],
  ],
  run: async (flags, io) => {
    const { withContext } = await import('../frame/context.ts');
    const { printLine } = await import('../frame/output.ts');
    const { printStatus } = await import('./status-table.ts');
    const name = textOf(flags, 'name');
    if (flags['watch'] === true) {
      const { watchStatus } = await import('./status-watch.ts');
      return await watchStatus(flags, io, name);
    }
    const details = name !== undefined;
    await withContext(
      flags,
      io,
      async ({ migrator, config }) => {
        printStatus(io, await migrator.status(name), { json: config.output.json, details });
      },
      async (several) => {
        const { endWith } = await import('../frame/each-target.ts');
        const { statusOfTargets } = await import('./status-targets.ts');
        const ends = await several.fleet.each(({ migrator }) => migrator.status(name), several.view);
        several.view.close();
        if (!several.config.output.json) {
          for (const line of statusOfTargets(ends, details)) printLine(io, line);
        }
        await endWith(io, several, { ends, again: 'status' }, (report) => report);
      },
    );
  },
};
