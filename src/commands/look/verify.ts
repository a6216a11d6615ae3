import { rowsAre, rowsLeft } from '../../core/values/numbers.ts';
import { fail } from '../../errors.ts';
import type { VerifyReport } from '../../migrator/migrator.ts';
import { type Command, textOf } from '../frame/command.ts';
import { type Io, printJson, printLine, table } from '../frame/output.ts';

/** `verify`: that executed migrations left nothing behind, and that the ledger is sound. Writes nothing. */
export const verify: Command = {
  command: 'verify [name]',
  describe: 'check for rows that were missed, and that the ledger is consistent',
  options: {},
  positionals: { name: 'only this migration' },
  insteadOf: () => 'umzug-cluster verify NAME',
  examples: [
    ['verify', 'all executed migrations, before you drop the old column'],
    ['verify NAME --json', 'one migration, for a program'],
  ],
  run: async (flags, all) => {
    const { inEachTarget } = await import('../frame/each-target.ts');
    const { unsoundError } = await import('../../run/lifecycle/soundness.ts');
    await inEachTarget(flags, all, { again: 'verify' }, async ({ migrator, config: { output }, io }) => {
      const report = await migrator.verify(textOf(flags, 'name'));
      const isSound = report.contradictions.length === 0;
      const problem = isSound
        ? (quarantinedRows(report) ?? leftBehind(report))
        : unsoundError(report.contradictions, report);
      if (!output.json) print(io, report);
      else if (problem === null) printJson(io, report);
      if (problem !== null) throw problem;
    });
  },
};

function print(io: Io, { migrations }: VerifyReport): void {
  if (migrations.length === 0) return printLine(io, 'nothing is executed');
  for (const line of table(migrations.map((one) => [one.name, one.kind, said(one)]))) {
    printLine(io, line);
  }
}

function said({ left, quarantined }: VerifyReport['migrations'][number]): string {
  if (quarantined > 0) return rowsAre(quarantined, 'quarantined');
  if (left === null) return 'nothing to check';
  return left === 0 ? 'no rows left' : rowsLeft(left);
}

function quarantinedRows(report: VerifyReport): Error | null {
  const found = report.migrations.filter(({ quarantined }) => quarantined > 0);
  if (found.length === 0) return null;
  return fail('MIGRATION_FAILED', {
    message: found.map((one) => `${one.name}: ${rowsAre(one.quarantined, 'quarantined')}`).join('; '),
    detail: 'they could not be migrated; umzug-cluster status NAME lists their keys and errors',
    hint: `fix the rows or the code, then run: ${found.map(({ name }) => `umzug-cluster retry ${name}`).join('; ')}`,
    report,
  });
}

function leftBehind(report: VerifyReport): Error | null {
  const found = report.migrations.filter(({ left }) => left !== null && left > 0);
  if (found.length === 0) return null;
  return fail('MIGRATION_FAILED', {
    message: found.map(({ name, left }) => `${name}: ${rowsLeft(left ?? 0)}`).join('; '),
    detail:
      'written after the run, or never changed; if select matches what update writes, export a verify(db)',
    hint: 'have the application write the new form, then add a migration with the same select and update for the rest',
    report,
  });
}
