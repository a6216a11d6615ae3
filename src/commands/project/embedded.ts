import { fail } from '../../errors.ts';
import type { Command } from '../frame/command.ts';

const actions = ['stop', 'remove'] as const;

/** `embedded`: cleans up the server that this tool has started in a folder. Touches nothing that it did not make. */
export const embedded: Command = {
  command: 'embedded [action]',
  describe: 'stop the embedded server of this folder, or remove it with its data',
  options: {},
  words: actions,
  positionals: { action: 'stop: keep its data; remove: delete it, too' },
  examples: [
    ['embedded stop', 'the next command starts it again, with its data'],
    ['embedded remove', 'and delete .postgres'],
  ],
  insteadOf: () => 'umzug-cluster embedded stop',
  run: async (flags, io) => {
    const action = actions.find((known) => known === flags['action']);
    if (action === undefined) {
      throw fail('USAGE', {
        message: `embedded takes stop or remove: got ${flags['action'] === undefined ? 'neither' : `"${String(flags['action'])}"`}`,
        hint: 'umzug-cluster embedded stop',
      });
    }
    const { removeEmbedded, stopEmbedded } = await import('../../postgres/embedded/index.ts');
    const { printJson, printLine } = await import('../frame/output.ts');
    const changed = await (action === 'stop' ? stopEmbedded(io.cwd) : removeEmbedded(io.cwd));
    if (flags['json'] === true) return printJson(io, { action, changed });
    const done =
      action === 'stop' ? 'stopped the embedded server' : 'removed the embedded server and its data';
    const nothing =
      action === 'stop' ? 'no embedded server is running here' : 'there is no embedded server here';
    printLine(io, changed ? done : nothing);
  },
};
