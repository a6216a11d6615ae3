import { fail } from '../../errors.ts';
import type { DownOptions } from '../../migrator/migrator.ts';
import type { Command } from '../frame/command.ts';
import {
  argFlag,
  positiveCount,
  switchFlag,
  targetFlags,
  textOf,
  textsOf,
  valueFlag,
} from '../frame/command.ts';

/** `down`: reverts the last migration, or as told. */
export const down: Command = {
  command: 'down',
  describe: 'revert the last migration, even if it is only partly done',
  options: {
    to: valueFlag('revert back to and including this migration; 0 reverts everything'),
    step: valueFlag('revert this many migrations'),
    name: valueFlag('revert only this migration (repeatable)'),
    ...argFlag,
    ...targetFlags,
    images: switchFlag('restore what was stored with options.undo, also where the file has a down'),
    overwrite: switchFlag('the same, and restore rows that were changed since, too'),
    plan: switchFlag('revert nothing: run a sample of the way back, and roll it back'),
    yes: switchFlag('do not ask; needed where nobody is at a terminal'),
  },
  exclusive: ['to', 'step', 'name'],
  insteadOf: (argument) => `umzug-cluster down --to ${argument}`,
  examples: [
    ['down', 'show what would be reverted, ask, and revert the last migration'],
    ['down --plan', 'what it would do, by a sample'],
    ['down --overwrite', 'restore what options.undo has stored, whatever has become of the rows since'],
    ['down --to 0 --yes', 'revert everything, in a script'],
  ],
  run: async (flags, io) => {
    const to = textOf(flags, 'to');
    const step = positiveCount(flags, 'step');
    const names = textsOf(flags, 'name');
    const [images, overwrite] = [flags['images'] === true, flags['overwrite'] === true];
    const options = {
      ...(to === undefined ? {} : { to: to === '0' ? (0 as const) : to }),
      ...(step === undefined ? {} : { step }),
      ...(names === undefined ? {} : { names }),
      images,
      overwrite,
    };
    if (flags['plan'] === true) {
      const { showPlan } = await import('../frame/plan-text.ts');
      const words = { nothingToDo: 'nothing to roll back', again: 'down --plan' };
      return await showPlan(flags, io, (migrator) => migrator.planDown(options), words);
    }
    const { runMigrations } = await import('./run.ts');
    const { canAsk } = await import('../frame/ask.ts');
    const { confirmDown, confirmTargets } = await import('./confirm.ts');
    const isAsked = flags['yes'] !== true;
    const given = [
      ...named('to', to),
      ...named('step', flags['step']),
      ...(names ?? []).flatMap((name) => named('name', name)),
      ...['images', 'overwrite'].filter((name) => flags[name] === true).map((name) => `--${name}`),
    ];
    if (isAsked && !canAsk(io)) throw unasked(given);
    const confirm: DownOptions['confirm'] = (targets, signal) => confirmDown(io, targets, options, signal);
    const asked = isAsked ? { ...options, confirm } : options;
    // What was shown of each target, and that alone.
    const shown = new Map<string, readonly string[]>();
    const optionsIn = (target: string): DownOptions =>
      isAsked ? { images, overwrite, names: shown.get(target) ?? [] } : options;
    await runMigrations(flags, io, {
      work: (migrator, target) => migrator.down(target === null ? asked : optionsIn(target)),
      nothingToDo: 'nothing to roll back',
      again: ['down', ...given].join(' '),
      before: async ({ fleet }) => {
        if (isAsked) await confirmTargets(io, fleet, options, shown);
      },
    });
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
