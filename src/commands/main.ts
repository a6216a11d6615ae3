import { createRequire } from 'node:module';
import type makeParser from 'yargs';
import { exitMeanings } from '../errors.ts';
import { commands } from './all.ts';
import { toYargs } from './frame/command.ts';
import { globalOptions } from './frame/globals.ts';
import type { Io } from './frame/output.ts';
import { reportError, earlyFlags } from './frame/report.ts';
import { drawHelpOnDemand, refuseWhatYargsPassesOver, usageError } from './frame/usage.ts';

const require = createRequire(import.meta.url);

/** The commands by their verbs. */
export const verbs: readonly string[] = [
  ...commands.map(({ command }) => command.split(' ')[0] ?? ''),
  'completion',
];

/**
 * The whole command line: parses `argv` (without node and script), runs the command, reports what went wrong. Returns
 * the exit code; touches nothing of the process but what `io` gives it, and its signals while a run can be stopped.
 */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  try {
    await parse(argv, io);
    return 0;
  } catch (error) {
    return reportError(io, error, earlyFlags(argv, io));
  }
}

async function parse(given: readonly string[], io: Io): Promise<void> {
  refuseWhatYargsPassesOver(given, commands, globalOptions);
  // Required: what it is for an import wraps help texts in the middle of words.
  const yargs = require('yargs') as typeof makeParser;
  const { version } = require('../../package.json') as { version: string };
  const parser = yargs()
    .scriptName('umzug-cluster')
    .detectLocale(false)
    .parserConfiguration({
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'greedy-arrays': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .usage('$0 <command>\n\nChunked data migrations for Postgres, on all cores, exactly once.')
    .options(globalOptions)
    .epilogue(exitCodesText())
    .example('$0 up', 'run everything that is pending')
    .example('$0 status', 'see where it is')
    .version(version)
    .help()
    .alias('help', 'h')
    .updateStrings({ 'Options:': 'Flags of every command:' })
    .wrap(100)
    .strict()
    .exitProcess(false)
    .showHelpOnFail(false)
    .fail((message: string | null, error: Error | undefined) => {
      // YError: yargs' own complaint about the command line; anything else was thrown by a command.
      if (error !== undefined && error !== null && error.name !== 'YError') throw error;
      throw usageError(message ?? error?.message ?? '', given, commands, Object.keys(globalOptions));
    });
  for (const command of commands) parser.command(toYargs(command, globalOptions, io));
  parser.completion('completion', 'print a shell completion script');
  parser.demandCommand(1, `no command given: ${verbs.join(', ')}`);
  drawHelpOnDemand(parser);
  // What yargs prints by itself: help, version, the script for completion.
  await parser.parseAsync([...given], {}, (_error: unknown, _argv: unknown, output: string) => {
    if (output !== '') io.stdout.write(`${output}\n`);
  });
}

function exitCodesText(): string {
  return [
    'Exit codes:',
    ...exitMeanings.map(({ codes, meaning }) => `  ${codes.join(', ')}  ${meaning}`),
  ].join('\n');
}
