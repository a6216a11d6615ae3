import { fail } from '../../errors.ts';
import type { DownOptions } from '../../migrator/migrator.ts';
import type { Command } from '../frame/command.ts';
import { positiveCount, switchFlag, textOf, textsOf, valueFlag } from '../frame/command.ts';

/** `down`: reverts the last migration, or as told. */
export const down: Command = {
  command: 'down',
  describe: 'revert the last migration, even if it is only partly done',
  options: {
    to: valueFlag('revert back to and including this migration; 0 reverts everything'),
    step: valueFlag('revert this many migrations'),
    name: valueFlag('revert only this migration (repeatable)'),
    plan: switchFlag('revert nothing: run a sample of the way back, and roll it back'),
    yes: switchFlag('do not ask; needed where nobody is at a terminal'),
  },
  exclusive: ['to', 'step', 'name'],
  insteadOf: (argument) => `umzug-cluster down --to ${argument}`,
  examples: [
    ['down', 'show what would be reverted, ask, and revert the last migration'],
    ['down --plan', 'what it would do, by a sample'],
    ['down --to 0 --yes', 'revert everything, in a script'],
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
    if (flags['plan'] === true) {
      const { showPlan } = await import('../frame/plan-text.ts');
      return await showPlan(flags, io, (migrator) => migrator.planDown(options), 'nothing to roll back');
    }
    const { runMigrations } = await import('./run.ts');
    const { canAsk } = await import('../frame/ask.ts');
    const { confirmDown } = await import('./confirm.ts');
    const isAsked = flags['yes'] !== true;
    if (isAsked && !canAsk(io))
      throw unasked([
        ...named('to', to),
        ...named('step', flags['step']),
        ...(names ?? []).flatMap((name) => named('name', name)),
      ]);
    const confirm: DownOptions['confirm'] = (targets, signal) => confirmDown(io, targets, signal);
    const asked = isAsked ? { ...options, confirm } : options;
    await runMigrations(flags, io, (migrator) => migrator.down(asked), 'nothing to roll back');
  },
};

function named(flag: string, value: unknown): readonly string[] {
  return value === undefined ? [] : [`--${flag} ${String(value)}`];
}

/** A script says that it means it: a rollback is nothing that a deploy does by mistake. */
function unasked(given: readonly string[]): Error {
  return fail('USAGE', {
    message: 'down asks before it reverts anything, and nobody is at a terminal',
    detail: 'nothing was reverted',
    hint: ['umzug-cluster down', ...given, '--yes'].join(' '),
  });
}
