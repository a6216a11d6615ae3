import { createRequire } from 'node:module';
import type makeParser from 'yargs';
import { type UmzugClusterError, exitCodes, exitMeanings, fail } from '../errors.ts';
import { commands } from './all.ts';
import { type Arguments, type Command, toYargs } from './frame/command.ts';
import { globalOptions } from './frame/globals.ts';
import { type Io, printLine } from './frame/output.ts';
import { completeFlag } from './project/completion.ts';
import { reportError, earlyFlags } from './frame/report.ts';
import { drawHelpOnDemand, isNameless, refuseWhatYargsPassesOver, usageError } from './frame/usage.ts';

const require = createRequire(import.meta.url);

/** The commands by their verbs. */
export const verbs: readonly string[] = commands.map(({ command }) => command.split(' ')[0] ?? '');

// Of the narrowest terminal that anybody is likely to have.
const columns = 80;

/**
 * The whole command line: parses `argv` (without node and script), runs the command, reports what went wrong. Returns
 * the exit code; touches nothing of the process but what `io` gives it, and its signals while a run can be stopped.
 */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  try {
    if (argv[0] === completeFlag) await complete(argv.slice(1), io);
    else if (await parse(argv, io)) return 0;
    // Nothing was run: a deploy whose command is empty is no success.
    else return exitCodes.USAGE;
    return 0;
  } catch (error) {
    const explained = isNameless(error) ? await withStarted(error, io) : error;
    return reportError(io, explained, earlyFlags(argv, io));
  }
}

/** The refusal of a command that needs a name, with those that it may be about. */
async function withStarted(error: UmzugClusterError, io: Io): Promise<UmzugClusterError> {
  const { startedNames } = await import('./frame/full-names.ts');
  const names = await startedNames(io);
  if (names === null) return error;
  const detail = names.length === 0 ? 'no migration is running' : `it may be one of: ${names.join(', ')}`;
  return fail('USAGE', { message: error.message, detail, hint: error.hint });
}

async function complete(words: readonly string[], io: Io): Promise<void> {
  const { completed } = await import('./frame/complete.ts');
  const { namesOfFiles } = await import('./frame/full-names.ts');
  const names = (): Promise<readonly string[]> => namesOfFiles({}, io);
  const found = await completed(words, { commands, globals: globalOptions, names });
  for (const one of found) printLine(io, one);
}

/** Parses and runs; false: there was no command, and the help was printed. */
async function parse(given: readonly string[], io: Io): Promise<boolean> {
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
    .wrap(columns)
    .strict()
    .exitProcess(false)
    .showHelpOnFail(false)
    .fail((message: string | null, error: Error | undefined) => {
      // YError: yargs' own complaint about the command line; anything else was thrown by a command.
      if (error !== undefined && error !== null && error.name !== 'YError') throw error;
      throw usageError(message ?? error?.message ?? '', given, commands, Object.keys(globalOptions));
    });
  for (const command of commands)
    parser.command(toYargs(command, globalOptions, (flags) => runCommand(command, flags, io)));
  parser.demandCommand(1, `no command given: ${verbs.join(', ')}`);
  drawHelpOnDemand(parser);
  if (given.length === 0) {
    io.stdout.write(`${await parser.getHelp()}\n`);
    return false;
  }
  // What yargs prints by itself: help and version.
  await parser.parseAsync([...given], {}, (_error: unknown, _argv: unknown, output: string) => {
    if (output !== '') io.stdout.write(`${output}\n`);
  });
  return true;
}

async function runCommand(command: Command, flags: Arguments, io: Io): Promise<void> {
  const { withFullNames } = await import('./frame/full-names.ts');
  await command.run(await withFullNames(flags, io, command), io);
}

function exitCodesText(): string {
  return ['Exit codes:', ...exitMeanings.flatMap(({ codes, meaning }) => exitLines(codes, meaning))].join(
    '\n',
  );
}

/** A meaning that is too long for one line continues below, as far in. */
function exitLines(codes: readonly number[], meaning: string): readonly string[] {
  const label = `  ${codes.join(', ')}  `;
  const lines: string[] = [];
  let line = label;
  for (const word of meaning.split(' ')) {
    if (line.length + word.length > columns) {
      lines.push(line.trimEnd());
      line = ' '.repeat(label.length);
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}
