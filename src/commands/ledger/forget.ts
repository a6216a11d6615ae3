import { counted, formatBytes } from '../../core/values/numbers.ts';
import { fail } from '../../errors.ts';
import { type Command, switchFlag, targetFlags, textsOf, valueFlag } from '../frame/command.ts';

/** `forget`: removes what runs with `options.undo` have stored of what rows held before. */
export const forget: Command = {
  command: 'forget <migration>',
  describe: 'remove what was stored to roll a migration back',
  options: {
    key: valueFlag('only what is stored of this row; repeat it for each column of the key'),
    ...targetFlags,
    yes: switchFlag('do not ask; needed where nobody is at a terminal'),
  },
  positionals: { migration: 'name of the migration, without extension' },
  examples: [
    ['forget NAME --yes', 'the whole of it: down then needs a down in the file'],
    ['forget NAME --key 4711 --yes', 'one row, as when a person asks for it'],
  ],
  run: async (flags, all) => {
    const name = String(flags['migration']);
    const key = textsOf(flags, 'key') ?? null;
    const again = ['forget', name, ...(key ?? []).map((part) => `--key ${part}`)].join(' ');
    if (flags['yes'] !== true) {
      const { canAsk, requireYes } = await import('../frame/ask.ts');
      if (!canAsk(all)) {
        throw fail('USAGE', {
          message: 'forget asks before it removes anything, and nobody is at a terminal',
          detail: 'nothing was removed',
          hint: `umzug-cluster ${again} --yes`,
        });
      }
      const what =
        key === null ? `All that ${name} has stored` : `What ${name} has stored of row ${key.join(', ')}`;
      const question = `${what} is removed, and cannot be restored by down any more. Continue?`;
      await requireYes(all, question, ['remove', 'removed']);
    }
    const { withLedger } = await import('./ledger-admin.ts');
    const { printJson, printLine } = await import('../frame/output.ts');
    await withLedger(flags, all, again, async (books, { json }, io) => {
      const forgotten = await books.forget(name, key);
      if (json) return printJson(io, forgotten);
      const { runs, images, bytes } = forgotten;
      if (key !== null)
        return printLine(io, `removed ${counted(images ?? 0, 'stored value')} of one row of ${name}`);
      if (runs === 0) return printLine(io, `${name} has stored nothing`);
      printLine(io, `removed what ${counted(runs, 'run')} of ${name} had stored: ${formatBytes(bytes)}`);
    });
  },
};
