import { fail } from '../../errors.ts';
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

const reruns = ['THROW', 'SKIP', 'ALLOW'] as const;

/** `up`: runs what is pending, resumes what was interrupted. */
export const up: Command = {
  command: 'up',
  describe: 'run pending migrations in order; resume what was interrupted',
  options: {
    to: valueFlag('run up to and including this migration'),
    step: valueFlag('run this many migrations'),
    name: valueFlag('run only this migration (repeatable)'),
    rerun: valueFlag('what to do if a --name is already executed (default: THROW)', {
      choices: reruns,
    }),
    'run-recorded': switchFlag('run files, too, that another tool has recorded as executed'),
    'allow-out-of-order': switchFlag('run new files that sort before executed ones'),
    past: valueFlag('leave this paused or cancelled migration as it is, and run later ones (repeatable)'),
    limit: valueFlag('stop after this many rows; the next up continues'),
    'from-key': valueFlag(
      'with --limit: only rows from this key on, inclusive (once for each column of the key)',
    ),
    'to-key': valueFlag('with --limit: only rows up to this key, inclusive (once for each column)'),
    wait: switchFlag('run nothing; wait until other hosts have run it'),
    'no-join': switchFlag('where another host is at work, leave at once with exit code 5'),
    'max-time-ok': switchFlag('exit with 0, not 5, if --max-time has stopped it'),
    ...argFlag,
    ...targetFlags,
    strict: switchFlag(
      'refuse if the file of an executed or started migration is missing, or an executed one changed',
    ),
  },
  exclusive: ['to', 'step', 'name'],
  insteadOf: (argument) => `umzug-cluster up --to ${argument}`,
  examples: [
    ['up', 'run everything that is pending'],
    ['up --to NAME', 'run up to and including one migration'],
    ['up --past NAME', 'run later migrations while NAME is paused or parked'],
    ['up --wait', 'on hosts that must not start before it is done'],
    ['up --targets-first 1', 'of several targets one first, and the others if it succeeds'],
    ['up --limit 1000', 'a canary of 1,000 rows; the next up continues'],
    ['up --limit 1000 --from-key 5000', 'the same, of the rows from key 5000 on'],
    ['up --max-time 10m', 'stop cleanly after ten minutes; the next up resumes'],
    ['up --max-time 2h --max-time-ok', 'each night in a maintenance window'],
  ],
  run: async (flags, io) => {
    const rerun = reruns.find((value) => value === flags['rerun']);
    const names = textsOf(flags, 'name');
    if (rerun !== undefined && names === undefined) {
      throw fail('USAGE', {
        message: '--rerun needs --name',
        hint: `umzug-cluster up --rerun ${rerun} --name NAME`,
      });
    }
    const past = textsOf(flags, 'past');
    if (past !== undefined && names !== undefined) {
      throw fail('USAGE', {
        message: '--past and --name cannot be combined',
        hint: '--name alone runs that migration, whatever is before it',
      });
    }
    const to = textOf(flags, 'to');
    const step = positiveCount(flags, 'step');
    const limit = positiveCount(flags, 'limit');
    const fromKey = textsOf(flags, 'from-key');
    const toKey = textsOf(flags, 'to-key');
    const options = {
      ...(to === undefined ? {} : { to }),
      ...(step === undefined ? {} : { step }),
      ...(limit === undefined ? {} : { limit }),
      ...(fromKey === undefined ? {} : { fromKey }),
      ...(toKey === undefined ? {} : { toKey }),
      ...(names === undefined ? {} : { names }),
      ...(rerun === undefined ? {} : { rerun }),
      ...(past === undefined ? {} : { past }),
      runRecorded: flags['run-recorded'] === true,
      allowOutOfOrder: flags['allow-out-of-order'] === true,
      strict: flags['strict'] === true,
      wait: flags['wait'] === true,
      others: flags['no-join'] === true ? ('leave' as const) : ('join' as const),
    };
    const { keyPartOf } = await import('../../migrator/pending/requests.ts');
    keyPartOf(options);
    if (options.wait && limit !== undefined) {
      throw fail('USAGE', {
        message: '--wait and --limit cannot be combined',
        hint: '--wait runs nothing: give only one of them',
      });
    }
    if (options.wait && options.others === 'leave') {
      throw fail('USAGE', {
        message: '--wait and --no-join cannot be combined',
        hint: 'give only one of them',
      });
    }
    const nothing = options.wait ? 'everything is executed' : 'nothing is pending';
    const { runMigrations } = await import('./run.ts');
    await runMigrations(flags, io, {
      work: (migrator) => migrator.up(options),
      nothingToDo: nothing,
      again: options.wait ? 'up --wait' : 'up',
    });
  },
};
