import type { BaselineReport, BaselineRequest } from '../../migrator/ledger-admin.ts';
import { otherToolNames } from '../../core/values/other-tools.ts';
import { fail } from '../../errors.ts';
import { type Arguments, type Command, switchFlag, textOf, textsOf, valueFlag } from '../frame/command.ts';
import type { Io } from '../frame/output.ts';

/** `baseline`: marks migrations as executed without running them. */
export const baseline: Command = {
  command: 'baseline',
  describe: 'mark migrations as executed without running them, and list them',
  options: {
    to: valueFlag('mark up to and including this migration'),
    name: valueFlag('mark this migration (repeatable)'),
    from: valueFlag('take over the record of another tool', { choices: otherToolNames }),
    table: valueFlag('the other tool’s table, if it is not the one it has by default'),
    undo: switchFlag('with --name: make it pending again, if it was only marked'),
  },
  exclusive: ['to', 'name', 'from'],
  insteadOf: (argument) => `umzug-cluster baseline --to ${argument}`,
  examples: [
    ['baseline --to NAME', 'the database already has everything up to this one'],
    ['baseline --from knex', 'what knex migrate has executed'],
    ['baseline --undo --name NAME', 'undo a mistake'],
  ],
  run: async (flags, all) => {
    const names = textsOf(flags, 'name');
    if (flags['undo'] === true) return await undo(flags, all, names);
    const request = requestOf(flags, names);
    const { withLedger } = await import('./ledger-admin.ts');
    await withLedger(flags, all, typed(flags), async (books, { json }, io) => {
      const report = await books.baseline(request);
      const { printJson } = await import('../frame/output.ts');
      if (json) return printJson(io, report);
      await print(io, report);
    });
  },
};

async function undo(flags: Arguments, all: Io, names: readonly string[] | undefined): Promise<void> {
  if (names === undefined) {
    throw fail('USAGE', {
      message: '--undo needs --name',
      hint: 'umzug-cluster baseline --undo --name NAME',
    });
  }
  const { withLedger } = await import('./ledger-admin.ts');
  const { printJson, printLine } = await import('../frame/output.ts');
  await withLedger(flags, all, typed(flags), async (books, { json }, io) => {
    const unmarked = await books.undoBaseline(names);
    if (json) return printJson(io, { unmarked });
    for (const name of unmarked) printLine(io, `${name}: pending again`);
  });
}

/** What was typed, to be typed again. */
function typed(flags: Arguments): string {
  const values = ['to', 'name', 'from', 'table'].flatMap((flag) =>
    (textsOf(flags, flag) ?? []).map((value) => `--${flag} ${value}`),
  );
  return ['baseline', ...values, ...(flags['undo'] === true ? ['--undo'] : [])].join(' ');
}

function requestOf(flags: Arguments, names: readonly string[] | undefined): BaselineRequest {
  const to = textOf(flags, 'to');
  const tool = otherToolNames.find((known) => known === flags['from']);
  const table = textOf(flags, 'table');
  if (table !== undefined && tool === undefined) {
    throw fail('USAGE', {
      message: '--table needs --from',
      hint: 'umzug-cluster baseline --from knex --table NAME',
    });
  }
  if (tool !== undefined) return { kind: 'from', tool, table };
  if (to !== undefined) return { kind: 'to', name: to };
  if (names !== undefined) return { kind: 'names', names };
  throw fail('USAGE', {
    message: 'baseline needs --to, --name or --from: it never marks everything by default',
    hint: 'umzug-cluster pending lists the names; umzug-cluster baseline --to NAME marks up to one of them',
  });
}

async function print(io: Io, { marked, already, withoutFile }: BaselineReport): Promise<void> {
  const { printLine, printNote } = await import('../frame/output.ts');
  for (const name of marked) printLine(io, `${name}: marked as executed`);
  if (marked.length === 0) printLine(io, 'nothing to mark');
  if (already.length > 0) printNote(io, `already executed: ${already.join(', ')}`);
  if (withoutFile.length > 0) {
    printNote(io, `recorded by the other tool, but no file here: ${withoutFile.join(', ')}`);
  }
}
