import { durationExamples, parseDuration } from '../../core/config/duration.ts';
import { counted } from '../../core/values/numbers.ts';
import { fail } from '../../errors.ts';
import { type Arguments, type Command, textOf, valueFlag } from '../frame/command.ts';

/** `prune`: removes what the ledger keeps of migrations that were rolled back long ago. */
export const prune: Command = {
  command: 'prune',
  describe: 'remove old runs that were rolled back from the ledger, and say what',
  options: { 'older-than': valueFlag('what ended before that: a duration, such as 90d') },
  insteadOf: () => 'umzug-cluster prune --older-than 90d',
  examples: [['prune --older-than 90d', 'what is executed keeps its runs and its history']],
  run: async (flags, all) => {
    const olderThanMs = durationOf(flags);
    const { withLedger } = await import('./ledger-admin.ts');
    const { printJson, printLine } = await import('../frame/output.ts');
    await withLedger(
      flags,
      all,
      `prune --older-than ${textOf(flags, 'older-than')}`,
      async (books, { json }, io) => {
        const pruned = await books.prune(olderThanMs);
        if (json) return printJson(io, pruned);
        const { runs, ranges, quarantined, events } = pruned;
        if (runs + events === 0) return printLine(io, 'nothing to remove');
        const parts = [counted(ranges, 'range'), counted(quarantined, 'quarantined row')].join(' and ');
        printLine(
          io,
          `removed ${counted(runs, 'run')} with ${parts}, and ${counted(events, 'event')} of the history`,
        );
      },
    );
  },
};

function durationOf(flags: Arguments): number {
  const text = textOf(flags, 'older-than');
  const hint = 'for example: umzug-cluster prune --older-than 90d';
  if (text === undefined) throw fail('USAGE', { message: 'prune needs --older-than', hint });
  const ms = parseDuration(text);
  if (ms !== null) return ms;
  throw fail('USAGE', {
    message: `--older-than must be a duration such as 90d, ${durationExamples}: got "${text}"`,
    hint,
  });
}
