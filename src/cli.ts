#!/usr/bin/env node
import { createRequire } from 'node:module';
import type makeParser from 'yargs';
import { endedEarly, ownProcess } from './cluster/own-process.ts';
import { endWithoutAWord, wasBlocked } from './cluster/process-watch.ts';
import { commands } from './commands/all.ts';
import { toYargs } from './commands/command.ts';
import { globalOptions } from './commands/globals.ts';
import { lastWords, reportError, takeWarnings, wishesIn } from './commands/report.ts';
import { drawHelpOnDemand, refuseWhatYargsPassesOver, usageError } from './commands/usage.ts';
import { exitMeanings, fail } from './errors.ts';
import { reportStray } from './migration/strays.ts';

const require = createRequire(import.meta.url);

const verbs = [...commands.map(({ command }) => command.split(' ')[0]), 'completion'].join(', ');

// A finished command whose connection or child lingers must not hold up a deploy.
const lingerMs = 500;

const args = process.argv.slice(2);
const wants = wishesIn(args);

// The reader of stdout or stderr may go away (`| head`): no reason to stop a run half-way.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
ownProcess((error) => lastWords(error, wants));
takeWarnings(wants);
let exitCode: number | null = null;
// The exit code is this file's, also where author code calls `process.exit`.
process.on('exit', () => {
  process.exitCode = exitCode ?? reportError(endedEarly(), wants);
  if (wasBlocked()) endWithoutAWord();
});
process.on('uncaughtException', (error) => {
  if (reportStray(error)) return;
  exitCode = reportError(error, wants);
  process.exit();
});

try {
  await parse(args);
  exitCode = 0;
} catch (error) {
  exitCode = reportError(error, wants);
}
setTimeout(() => process.exit(), lingerMs).unref();

async function parse(given: readonly string[]): Promise<void> {
  requireFolder();
  refuseWhatYargsPassesOver(given, commands, globalOptions);
  // Required: what it is for an import wraps help texts in the middle of words.
  const yargs = require('yargs') as typeof makeParser;
  const { version } = require('../package.json') as { version: string };
  const parser = yargs([...given])
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
  for (const command of commands) parser.command(toYargs(command, globalOptions));
  parser.completion('completion', 'print a script for shell completion');
  parser.demandCommand(1, `a command is missing: ${verbs}`);
  drawHelpOnDemand(parser);
  await parser.parseAsync();
}

/** Whatever asks for the working directory throws where a deploy has removed it: yargs, and Node itself. */
function requireFolder(): void {
  try {
    process.cwd();
  } catch (cause) {
    const hint = 'change into the folder of the project, and run it again';
    throw fail('CONFIG', { message: 'the working directory is gone', hint, cause });
  }
}

function exitCodesText(): string {
  return [
    'Exit codes:',
    ...exitMeanings.map(({ codes, meaning }) => `  ${codes.join(', ')}  ${meaning}`),
  ].join('\n');
}
