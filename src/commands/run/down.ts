import type { Command } from '../frame/command.ts';
import { positiveCount, textOf, textsOf, valueFlag } from '../frame/command.ts';

/** `down`: reverts the last migration, or as told. */
export const down: Command = {
  command: 'down',
  describe: 'revert the last migration, even if it is only partly done',
  options: {
    to: valueFlag('revert back to and including this migration; 0 reverts everything'),
    step: valueFlag('revert this many migrations'),
    name: valueFlag('revert only this migration (repeatable)'),
  },
  exclusive: ['to', 'step', 'name'],
  insteadOf: (argument) => `umzug-cluster down --to ${argument}`,
  examples: [
    ['down', 'revert the last migration'],
    ['down --to 0', 'revert everything'],
  ],
  run: async (flags, io) => {
    const to = textOf(flags, 'to');
    const step = positiveCount(flags, 'step');
    const names = textsOf(flags, 'name');
    const options = {
      ...(to === undefined ? {} : { to: to === '0' ? (0 as const) : to }),
      ...(step === undefined ? {} : { step }),
      ...(names === undefined ? {} : { names }),
    };
    const { runMigrations } = await import('./run.ts');
    await runMigrations(flags, io, (migrator) => migrator.down(options), 'nothing to roll back');
  },
};
