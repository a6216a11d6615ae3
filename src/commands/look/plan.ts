import { type Command, argFlag, switchFlag, textOf, valueFlag } from '../frame/command.ts';

/** `plan`: what `up` would do, with a sample that is run and rolled back. Leaves nothing in the database. */
export const plan: Command = {
  command: 'plan [name]',
  describe: 'show what up would do: tries each pending migration, by a sample, and rolls it back',
  options: {
    ...argFlag,
    'no-schema': switchFlag('do not try schema migrations, whose locks are held until the plan is done'),
    html: valueFlag('also write it to this file as one HTML page, for a review'),
  },
  positionals: { name: 'only this migration' },
  insteadOf: () => 'umzug-cluster plan NAME',
  examples: [
    ['plan', 'all pending migrations, before a deploy'],
    ['plan --no-schema', 'only what can be planned before schema migrations have run'],
    ['plan NAME --json', 'one migration, for a pipeline'],
    ['plan --html plan.html', 'for a review: before and after side by side'],
  ],
  run: async (flags, io) => {
    const { showPlan } = await import('../frame/plan-text.ts');
    await showPlan(
      flags,
      io,
      (migrator) => migrator.plan(textOf(flags, 'name'), { schema: flags['no-schema'] !== true }),
      {
        nothingToDo: 'nothing is pending',
        again: 'plan',
      },
    );
  },
};
