import { type Command, textOf } from '../frame/command.ts';

/** `repair`: accepts the present files of executed migrations that were changed. */
export const repair: Command = {
  command: 'repair [name]',
  describe: 'accept edits to already executed files, and list them',
  options: {},
  positionals: { name: 'only this migration' },
  insteadOf: () => 'umzug-cluster repair NAME',
  examples: [
    ['repair', 'after all files were reformatted'],
    ['repair NAME', 'one migration'],
  ],
  run: async (flags, all) => {
    const { withLedger } = await import('./ledger-admin.ts');
    const { printJson, printLine } = await import('../frame/output.ts');
    await withLedger(flags, all, 'repair', async (books, { json }, io) => {
      const repaired = await books.repair(textOf(flags, 'name'));
      if (json) return printJson(io, { repaired });
      if (repaired.length === 0) printLine(io, 'nothing to repair: all files are as they were executed');
      for (const { name, files } of repaired) printLine(io, `${name}: accepted ${files}`);
    });
  },
};
