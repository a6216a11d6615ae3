import type { Command } from '../frame/command.ts';
import { switchFlag, textOf, valueFlag } from '../frame/command.ts';
import { recipes } from '../../migration/create/recipes.ts';

const prefixes = ['TIMESTAMP', 'DATE', 'NONE'] as const;

/** `create`: writes a new migration file that type-checks and says what to fill in. Opens a database only for `--table`. */
export const create: Command = {
  command: 'create',
  describe: 'write a new migration file with places to fill in',
  names: 'new',
  options: {
    name: valueFlag('what it does, in a few words, such as dated-to-date-given', { demandOption: true }),
    kind: valueFlag(
      'data: rows pass through update; set: rows stay in the database; schema: up and down (default: data); or a recipe, complete and with its test',
      { choices: ['data', 'set', 'schema', ...Object.keys(recipes)] },
    ),
    table: valueFlag('fill in the columns, types and key of this table'),
    prefix: valueFlag('prefix of the file name (default: as the files of the folder have it, or TIMESTAMP)', {
      choices: prefixes,
    }),
    folder: valueFlag('where to write it (default: the folder of the migrations)'),
    'skip-verify': switchFlag('do not check that up would find the new file'),
    'allow-confusing-ordering': switchFlag('write it even if it sorts before existing files'),
  },
  insteadOf: (argument) => `umzug-cluster create --name ${argument}`,
  examples: [
    ['create --name dated-to-date-given', 'a data migration'],
    ['create --name slugs --table people', 'with the columns, types and key of a table'],
    ['create --kind schema --name status', 'a schema migration'],
    ['create --kind purge --name old-events --table events', 'a recipe: all migrations it takes, and a test'],
  ],
  run: async (flags, io) => {
    const { createMigration } = await import('./create-file.ts');
    await createMigration(flags, io, {
      name: textOf(flags, 'name') ?? '',
      kind: textOf(flags, 'kind') ?? 'data',
      table: textOf(flags, 'table'),
      prefix: prefixes.find((prefix) => prefix === flags['prefix']),
    });
  },
};
