import { type Command, textOf } from '../frame/command.ts';

/** `plan`: what `up` would do, with a sample that is run and rolled back. Leaves nothing in the database. */
export const plan: Command = {
  command: 'plan [name]',
  describe: 'show what up would do: runs a sample of each pending migration and rolls it back',
  options: {},
  positionals: { name: 'only this migration' },
  insteadOf: () => 'umzug-cluster plan NAME',
  examples: [
    ['plan', 'all pending migrations, before a deploy'],
    ['plan NAME --json', 'one migration, for a pipeline'],
  ],
  run: async (flags, io) => {
    const { withContext } = await import('../frame/context.ts');
    const { printPlan } = await import('./plan-text.ts');
    const { printJson } = await import('../frame/output.ts');
    const { fail } = await import('../../errors.ts');
    await withContext(flags, io, async ({ migrator, config: { output } }) => {
      const { report, problem } = await migrator.plan(textOf(flags, 'name'));
      if (!output.json) printPlan(io, report);
      else if (problem === null) printJson(io, report);
      if (problem === null) return;
      const { code, message, detail, hint, cause } = problem;
      throw fail(code, { message, detail, hint, cause, report });
    });
  },
};
