import { readFileSync } from 'node:fs';
import path from 'node:path';
import { endedEarly, ownProcess } from './cluster/process/own-process.ts';
import { endWithoutAWord, wasBlocked } from './cluster/process/process-watch.ts';
import { main, verbs } from './commands/main.ts';
import { invokedAs, placesIn, programOf } from './core/values/invocation.ts';
import { lastWords, reportError, takeWarnings, earlyFlags } from './commands/frame/report.ts';
import { fail } from './errors.ts';
import { reportUnhandled } from './migration/handle/unhandled-errors.ts';

/** The process of the command line: its exit code, its streams, and what becomes of errors that nobody caught. */

// A finished command whose connection or child lingers must not hold up a deploy.
const lingerMs = 500;

const args = process.argv.slice(2);
const { env, stdin, stdout, stderr } = process;
const wants = earlyFlags(args, { env, stderr });

// The reader of stdout or stderr may go away (`| head`): no reason to stop a run half-way.
stdout.on('error', () => undefined);
stderr.on('error', () => undefined);
ownProcess((error) => lastWords(error, wants));
takeWarnings({ stderr }, wants);
let exitCode: number | null = null;
// The exit code is this file's, also where author code calls `process.exit`.
process.on('exit', () => {
  process.exitCode = exitCode ?? reportError({ stdout, stderr }, endedEarly(), wants);
  if (wasBlocked()) endWithoutAWord();
});
process.on('uncaughtException', (error) => {
  if (reportUnhandled(error)) return;
  exitCode = reportError({ stdout, stderr }, error, wants);
  process.exit();
});

const cwd = workingDirectory();
if (typeof cwd === 'string') {
  const script = process.argv[1] ?? '';
  const program = programOf({ script, relative: path.relative(cwd, script), env });
  invokedAs({
    typed: [program, ...placesIn(args)].join(' '),
    up: makeTarget(cwd),
    verbs: [...verbs, '--help'],
  });
}
exitCode =
  cwd instanceof Error
    ? reportError({ stdout, stderr }, cwd, wants)
    : await main(args, { cwd, env, stdin, stdout, stderr });
setTimeout(() => process.exit(), lingerMs).unref();

/** `make migrate`, where make runs this and has that target; its flags would be lost, so none may be given. */
function makeTarget(folder: string): string | null {
  if (env['MAKELEVEL'] === undefined || placesIn(args).length > 0) return null;
  try {
    return /^migrate:/m.test(readFileSync(path.join(folder, 'Makefile'), 'utf8')) ? 'make migrate' : null;
  } catch {
    return null;
  }
}

/** Whatever asks for the working directory throws where a deploy has removed it: yargs, and Node itself. */
function workingDirectory(): string | Error {
  try {
    return process.cwd();
  } catch (cause) {
    const hint = 'change to the project folder and run it again';
    return fail('CONFIG', { message: 'the working directory no longer exists', hint, cause });
  }
}
